import { setTimeout as delay } from 'node:timers/promises'
import { type Answer, HttpConnection } from '../load/http-connection.js'
import { credentialOf, loginRequests, toRequest } from '../load/requests.js'
import { type RunningServer, startServer } from '../running-server.js'
import type { Bench } from './bench.js'

/** How long other processes accept a session after the reply to the logout. */
export interface Revocation {
  processes: number
  /** Milliseconds for each logout and each other process, sorted. */
  delaysMs: number[]
  /** Milliseconds of bare publications, after each logout from the same process to each other process and back, sorted. */
  roundTripsMs: number[]
}

const PROCESSES = 4
/** Not measured: until V8 has compiled what the processes run, its threads take the cores from them. */
const WARM_UP_LOGOUTS = 3_000
const LOGOUTS = 1_000
/** The pause between two requests leaves the cores to the notified processes. The pause is part of the delays. */
const POLL_MS = 1

/** Processes with the cache over one Redis: each process verifies a session, then one process ends the session. */
export async function measureRevocation(bench: Bench): Promise<Revocation> {
  const servers: RunningServer[] = []
  const connections: Connection[] = []
  try {
    for (let index = 0; index < PROCESSES; index++) {
      const core = index % 2 === 0 ? bench.cores?.server : bench.cores?.others
      const server = await startServer('plugin-cache', { ...bench, core })
      if ('notAvailable' in server) throw new Error(server.notAvailable)
      servers.push(server)
      connections.push(new Connection(server.port))
    }
    for (const server of servers) await server.subscribe()
    const delaysMs: number[] = []
    const roundTripsMs: number[] = []
    for (let index = 0; index < WARM_UP_LOGOUTS + LOGOUTS; index++) {
      const delays = await measureOne(connections, index)
      const roundTrips = (await servers[0]?.publish(PROCESSES - 1)) ?? []
      if (index < WARM_UP_LOGOUTS) continue
      delaysMs.push(...delays)
      roundTripsMs.push(...roundTrips)
    }
    return { processes: PROCESSES, delaysMs: inOrder(delaysMs), roundTripsMs: inOrder(roundTripsMs) }
  } finally {
    for (const connection of connections) connection.close()
    for (const server of servers) await server.end()
  }
}

async function measureOne([first, ...others]: Connection[], index: number): Promise<number[]> {
  if (first === undefined) throw new Error('There is no process')
  const [login = ''] = loginRequests(1, () => `revoked-${index}`)
  const credential = credentialOf((await first.send(login)).text, undefined)
  const me = toRequest('GET', '/me', credential)
  // The first request reads the session, and the second request hits the cache.
  for (const connection of [...others, ...others]) await expectStatus(connection, me, 200)
  await expectStatus(first, toRequest('POST', '/user/logout', credential), 204)
  const endedAt = performance.now()
  return Promise.all(
    others.map(async (connection) => {
      while ((await connection.send(me)).status === 200) await delay(POLL_MS)
      return performance.now() - endedAt
    })
  )
}

function inOrder(values: number[]): number[] {
  return values.toSorted((a, b) => a - b)
}

async function expectStatus(connection: Connection, request: string, status: number): Promise<void> {
  const answer = await connection.send(request)
  if (answer.status !== status) throw new Error(answer.text)
}

/** Sends requests in sequence. */
class Connection {
  readonly #connection: HttpConnection
  #onAnswer: (answer: Answer) => void = () => {}
  #onError: (error: Error) => void = () => {}

  constructor(port: number) {
    this.#connection = new HttpConnection(
      port,
      (answer) => this.#onAnswer(answer),
      (error) => this.#onError(error)
    )
  }

  send(request: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#onAnswer = resolve
      this.#onError = reject
      this.#connection.send(Buffer.from(request, 'latin1'))
    })
  }

  close(): void {
    this.#connection.close()
  }
}
