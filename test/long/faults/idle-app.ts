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

/** The relevant parts of a guarded route's reply. */
export interface GuardAnswer {
  status: number
  /** The reason in the clear signal. */
  reason: string | undefined
  hasClearSiteData: boolean
}

/** An app that is a separate process for Redis. */
export interface IdleApp {
  /** The name in failure messages. */
  readonly name: string
  send(token: string): Promise<GuardAnswer>
  close(): Promise<unknown>
}

/** Starts an app in the test process, with separate connections and beats. */
export async function startIdleApp(t: Watched, name: string, options: Partial<JwtSessionOptions>): Promise<IdleApp> {
  const { app } = await createSessionApp(t, options)
  return {
    name,
    async send(token) {
      const { statusCode, headers } = await app.inject(withToken(token))
      return answerOf(statusCode, (name) => headers[name]?.toString())
    },
    close: () => app.close()
  }
}

/** An app for logins before the outage. All apps accept the tokens. */
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

/** Starts an app in a separate operating system process. */
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
    async send(token) {
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
