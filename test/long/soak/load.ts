import { setTimeout as delay } from 'node:timers/promises'
import { KeepAliveClient, rawRequest, tokenOf } from '../../fixtures/keep-alive-client.js'
import { PASSWORD } from '../../fixtures/planted-secrets.js'

const VERIFICATIONS_PER_LOGIN = 18

/** Users who log in, send requests and log out, in sequence over each connection. */
export interface Load {
  /** Number of replies since the last call, by operation and status. */
  takeOutcomes(): Map<string, number>
  /** Sets the requests per second of all connections together. */
  setRate(perSecond: number): void
  stop(): Promise<void>
}

export function startLoad(port: number, connections: number): Load {
  let outcomes = new Map<string, number>()
  let pauseMs = 0
  let isOver = false
  const clients = Array.from({ length: connections }, () => new KeepAliveClient(port))

  async function runUser(client: KeepAliveClient, number: number): Promise<void> {
    let nextAt = performance.now() + (pauseMs * number) / connections

    /** Sends a request at the scheduled time. Late requests catch up. */
    async function send(name: string, method: string, path: string, parts: { token?: string; body?: string }) {
      nextAt = Math.max(nextAt + pauseMs, performance.now() - 1_000)
      const waitMs = nextAt - performance.now()
      if (waitMs >= 1) await delay(waitMs)
      const outcome = await client.send(rawRequest(method, path, parts))
      const key = `${name} ${typeof outcome === 'string' ? outcome : outcome.status}`
      outcomes.set(key, (outcomes.get(key) ?? 0) + 1)
      return typeof outcome === 'string' ? '' : tokenOf(outcome)
    }

    let token = ''
    for (let login = 0; !isOver && !client.isClosed; login++) {
      const body = JSON.stringify({ username: `user-${number}-${login % 100}`, password: PASSWORD })
      // After a failed login the user keeps the previous token, so that the mix of requests stays the same.
      token = (await send('login', 'POST', '/user/login', { body })) || token
      if (token === '') continue
      for (let i = 0; i < VERIFICATIONS_PER_LOGIN && !isOver; i++) await send('verify', 'GET', '/me', { token })
      await send('logout', 'POST', '/user/logout', { token })
    }
    client.close()
  }

  const done = Promise.all(clients.map(runUser))
  return {
    takeOutcomes() {
      const taken = outcomes
      outcomes = new Map()
      return taken
    },
    setRate(perSecond) {
      pauseMs = (connections / perSecond) * 1_000
    },
    async stop() {
      isOver = true
      await done
    }
  }
}

/** The number of requests, and the number of outcomes other than `good`. */
export function countErrors(
  outcomes: Map<string, number>,
  good: readonly string[]
): { requests: number; errors: number } {
  let [requests, errors] = [0, 0]
  for (const [outcome, count] of outcomes) {
    requests += count
    if (!good.includes(outcome)) errors += count
  }
  return { requests, errors }
}

export const ALL_GOOD = ['login 200', 'verify 200', 'logout 204']
