import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { JwtSessionOptions } from '../../../lib/index.js'
import { withToken } from '../../fixtures/app.js'
import type { Teardown } from '../../fixtures/redis/start-redis.js'
import { until } from '../../fixtures/until.js'
import type { Watched } from '../../fixtures/watched-fastify.js'
import type { Scene } from './idle-scene.js'
import { createSessionApp } from './subject.js'

/** What matters of the answer to a request of a guarded route. */
export interface GuardAnswer {
  status: number
  /** Of the clear signal. */
  reason: string | undefined
  hasClearSiteData: boolean
}

/** A process to Redis, to be asked with the tokens of users. */
export interface IdleApp {
  /** In the words of a failure. */
  readonly name: string
  ask(token: string): Promise<GuardAnswer>
  close(): Promise<unknown>
}

/** An app in this process: with connections and beats of its own it is a process to Redis. */
export async function startIdleApp(t: Watched, name: string, options: Partial<JwtSessionOptions>): Promise<IdleApp> {
  const { app } = await createSessionApp(t, options)
  return {
    name,
    async ask(token) {
      const { statusCode, headers } = await app.inject(withToken(token))
      return answerOf(statusCode, (name) => headers[name]?.toString())
    },
    close: () => app.close()
  }
}

/** An app to log in at before the outage: the tokens that it gives are good at every process. */
export async function createDoor(t: Watched, { own, inject, options }: Scene, idleSeconds: number) {
  const redis = own ?? inject?.()
  const { app } = await createSessionApp(t, {
    session: { idleTimeoutSeconds: idleSeconds },
    ...options,
    ...(options?.store === undefined && redis !== undefined && { redis })
  })
  await until(() => app.sessions.isReady())
  return app
}

/** The same in a process of the operating system. */
export async function startIdleProcess(
  t: Teardown,
  name: string,
  options: Partial<JwtSessionOptions>
): Promise<IdleApp> {
  const program = fileURLToPath(new URL('idle-process.ts', import.meta.url))
  const child = spawn(process.execPath, ['--import', 'tsx', program, JSON.stringify(options)], {
    env: { PATH: process.env.PATH },
    stdio: ['pipe', 'pipe', 'inherit']
  })
  t.teardown(() => child.kill('SIGKILL'))
  const url = await firstLineOf(child)
  return {
    name,
    async ask(token) {
      const response = await fetch(url, { headers: { authorization: `Bearer ${token}` } })
      await response.arrayBuffer()
      return answerOf(response.status, (name) => response.headers.get(name) ?? undefined)
    },
    close: async () => child.kill('SIGKILL')
  }
}

async function firstLineOf({ stdout }: ChildProcess): Promise<string> {
  if (stdout === null) throw new Error('The process has no output')
  for await (const line of createInterface({ input: stdout })) return line
  throw new Error('The process has ended')
}

function answerOf(status: number, header: (name: string) => string | undefined): GuardAnswer {
  return { status, reason: header('session-ended'), hasClearSiteData: header('clear-site-data') !== undefined }
}
