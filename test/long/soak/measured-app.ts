import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { JwtSessionOptions } from '../../../lib/index.js'
import type { Teardown } from '../../fixtures/redis/start-redis.js'
import type { AppFigures } from './app-process.js'

/** An app with the plugin in a separate process, so that only the app uses the memory and the event loop. */
export interface MeasuredApp {
  port: number
  figures(): Promise<AppFigures>
}

type Options = Pick<JwtSessionOptions, 'upstream' | 'cache' | 'routes'> & { redis: { url: string } }

export async function startMeasuredApp(t: Teardown, options: Options): Promise<MeasuredApp> {
  const file = fileURLToPath(new URL('app-process.ts', import.meta.url))
  const args = ['--import', import.meta.resolve('tsx'), file, JSON.stringify(options)]
  const child = spawn(process.execPath, args, {
    env: { ...process.env, NODE_ENV: 'production' },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc']
  })
  t.teardown(() => end(child))
  const exit = failAtExit(child)
  // The process ends at the teardown.
  exit.catch(() => {})
  const answer = async () => (await Promise.race([once(child, 'message'), exit]))[0]
  const { port } = await answer()
  return {
    port,
    figures() {
      child.send({})
      return answer()
    }
  }
}

async function failAtExit(child: ChildProcess): Promise<never> {
  const [code] = await once(child, 'exit')
  throw new Error(`The app has ended with ${code}`)
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill()
  await gone
}
