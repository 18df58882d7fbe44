import { credentialOf, loginRequests, toRequest } from '../load/requests.js'
import { measure, type RunningServer } from '../running-server.js'
import { quantileOf, shuffled } from '../stats.js'
import { type Bench, grouped, type Round, toRound } from './bench.js'

/** Number of sessions of the requests. */
const SESSIONS = 1_000
const FIRST_WARM_UP_SECONDS = 3
const WARM_UP_PASSES = 2
const WARM_UP_SECONDS = 0.05
export const TURN_SECONDS = 0.1

/** A server in a round, and the bare server in the same round: a slow machine slows both. */
export interface VerificationRound {
  bare: Round
  own: Round
}

/**
 * Measures `GET /me` with a session. In a round each server has many short turns, between those of the other servers: a
 * machine that is slow for seconds slows a part of each server's round.
 */
export async function measureVerification(
  bench: Bench,
  servers: RunningServer[]
): Promise<Map<RunningServer, VerificationRound[]>> {
  const { settings, report, generator } = bench
  const requests = new Map<RunningServer, string[]>()
  for (const server of servers) requests.set(server, await openSessions(bench, server))
  for (let pass = 0; pass < WARM_UP_PASSES; pass++) {
    for (const server of servers) {
      const warmUp = { port: server.port, seconds: FIRST_WARM_UP_SECONDS, requests: requests.get(server) ?? [] }
      await generator.run(warmUp)
      // Collects garbage. Otherwise V8 does so in the middle of the run, and discards compiled code of one server at a time.
      await server.heapBytes()
    }
  }

  async function measureTurn(server: RunningServer): Promise<Round> {
    const job = { requests: requests.get(server) ?? [], warmUpSeconds: WARM_UP_SECONDS, seconds: TURN_SECONDS }
    return toRound(await measure({ ...bench, server }, job))
  }

  const rounds = new Map<RunningServer, VerificationRound[]>(servers.map((server) => [server, []]))
  // After the last garbage collection V8 compiles again: the first round does not count.
  for (let round = -1; round < settings.rounds; round++) {
    const turns = new Map<RunningServer, Round[]>(servers.map((server) => [server, []]))
    for (let turn = 0; turn < settings.turns; turn++) {
      for (const server of shuffled(servers)) turns.get(server)?.push(await measureTurn(server))
    }
    if (round < 0) continue
    const [bare, ...others] = servers.map((server) => toOneRound(turns.get(server) ?? [])) as [Round, ...Round[]]
    for (const [index, own] of [bare, ...others].entries()) {
      const server = servers[index] as RunningServer
      rounds.get(server)?.push({ bare, own })
      report(
        `round ${round + 1}, verify, ${server.title}: ${grouped(own.perSecond)} requests a second, ` +
          `${(own.perSecond / bare.perSecond).toFixed(2)} of bare`
      )
    }
  }
  return rounds
}

/** The figures of all turns. Latencies and bytes are medians of the turns. */
function toOneRound(turns: readonly Round[]): Round {
  const sum = (figure: (turn: Round) => number) => turns.reduce((total, turn) => total + figure(turn), 0)
  const median = (figure: (turn: Round) => number) => quantileOf(turns.map(figure), 0.5)
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
