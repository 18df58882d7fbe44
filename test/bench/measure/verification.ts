import { credentialOf, loginRequests, toRequest } from '../load/requests.js'
import { measure, type RunningServer } from '../running-server.js'
import { TURN_SECONDS } from '../settings.js'
import { shuffled, spreadBy } from '../stats.js'
import { type Bench, grouped, type Round, toRound } from './bench.js'

/** Number of sessions of the requests. */
const SESSIONS = 1_000
const FIRST_WARM_UP_SECONDS = 3
const WARM_UP_PASSES = 2
const WARM_UP_SECONDS = 0.05

/** A server in a round, and the bare server in the same round: a slow machine slows both. */
export interface VerificationRound {
  bare: Round
  own: Round
}

/** The requests of each server, in the order of the servers. */
type Requests = Map<RunningServer, string[]>

/** Measures `GET /me` with a session. The first server is bare. */
export async function measureVerification(
  bench: Bench,
  servers: RunningServer[]
): Promise<Map<RunningServer, VerificationRound[]>> {
  const requests: Requests = new Map()
  for (const server of servers) requests.set(server, await openSessions(bench, server))
  await warmUp(bench, requests)
  // After the last garbage collection V8 compiles again: this round does not count.
  await measureRound(bench, requests)

  const rounds = new Map<RunningServer, VerificationRound[]>(servers.map((server) => [server, []]))
  for (let round = 0; round < bench.settings.rounds; round++) {
    const measured = await measureRound(bench, requests)
    const [bare] = [...measured.values()] as [Round]
    for (const [server, own] of measured) {
      rounds.get(server)?.push({ bare, own })
      bench.report(
        `round ${round + 1}, verify, ${server.title}: ${grouped(own.perSecond)} requests a second, ` +
          `${(own.perSecond / bare.perSecond).toFixed(2)} of bare`
      )
    }
  }
  return rounds
}

/** Collects garbage as well: otherwise V8 does so during the run, and discards compiled code of one server at a time. */
async function warmUp({ generator }: Bench, requests: Requests): Promise<void> {
  for (let pass = 0; pass < WARM_UP_PASSES; pass++) {
    for (const [server, sent] of requests) {
      await generator.run({ port: server.port, requests: sent, seconds: FIRST_WARM_UP_SECONDS })
      await server.heapBytes()
    }
  }
}

/**
 * Measures each server in many short turns, between those of the other servers: a machine that is slow for seconds slows a
 * part of each server's round.
 */
async function measureRound(bench: Bench, requests: Requests): Promise<Map<RunningServer, Round>> {
  const turns = new Map<RunningServer, Round[]>([...requests.keys()].map((server) => [server, []]))
  for (let turn = 0; turn < bench.settings.turns; turn++) {
    for (const [server, sent] of shuffled([...requests])) {
      const job = { requests: sent, warmUpSeconds: WARM_UP_SECONDS, seconds: TURN_SECONDS }
      turns.get(server)?.push(toRound(await measure({ ...bench, server }, job)))
    }
  }
  return new Map([...turns].map(([server, own]) => [server, toOneRound(own)]))
}

/** The figures of all turns. Latencies and bytes are medians of the turns. */
function toOneRound(turns: Round[]): Round {
  const sum = (figure: (turn: Round) => number) => turns.reduce((total, turn) => total + figure(turn), 0)
  const median = (figure: (turn: Round) => number) => spreadBy(turns, figure).median
  const [count, seconds] = [sum((turn) => turn.count), sum((turn) => turn.seconds)]
  const serverCpuMicros = sum((turn) => turn.cpuMicrosPerRequest * turn.count)
  return {
    count,
    seconds,
    perSecond: count / seconds,
    cpuMicros: sum((turn) => turn.cpuMicros),
    cpuMicrosPerRequest: serverCpuMicros / count,
    redisCpuMicrosPerRequest: sum((turn) => turn.redisCpuMicrosPerRequest * turn.count) / count,
    p50Ms: median((turn) => turn.p50Ms),
    p99Ms: median((turn) => turn.p99Ms),
    rssBytes: median((turn) => turn.rssBytes),
    busy: serverCpuMicros / 1e6 / seconds
  }
}

async function openSessions({ generator }: Bench, { port, tokenHeader }: RunningServer): Promise<string[]> {
  const logins = loginRequests(SESSIONS, (index) => `user-${index}`)
  const { answers } = await generator.run({ port, requests: logins, keepAnswers: true })
  return answers.map((answer) => toRequest('GET', '/me', credentialOf(answer, tokenHeader)))
}
