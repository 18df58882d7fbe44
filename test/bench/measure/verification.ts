import { credentialOf, loginRequests, toRequest } from '../load/requests.js'
import { measure, type RunningServer } from '../running-server.js'
import { rotate } from '../stats.js'
import { type Bench, grouped, type Round, toRound } from './bench.js'

/** Number of sessions of the requests. */
const SESSIONS = 1_000
const FIRST_WARM_UP_SECONDS = 3
const WARM_UP_SECONDS = 0.3

/** A server in a round, and the bare server just before: a slow machine slows both. */
export interface VerificationRound {
  bare: Round
  own: Round
}

/** Measures `GET /me` with a session: all servers in sequence in each round, the first server is bare. */
export async function measureVerification(
  bench: Bench,
  servers: RunningServer[]
): Promise<Map<RunningServer, VerificationRound[]>> {
  const { settings, report, generator } = bench
  const requests = new Map<RunningServer, string[]>()
  for (const server of servers) {
    requests.set(server, await openSessions(bench, server))
    const warmUp = { port: server.port, seconds: Math.min(FIRST_WARM_UP_SECONDS, settings.seconds) }
    await generator.run({ ...warmUp, requests: requests.get(server) ?? [] })
  }

  async function measureOne(server: RunningServer): Promise<Round> {
    const job = { requests: requests.get(server) ?? [], warmUpSeconds: WARM_UP_SECONDS, seconds: settings.seconds }
    return toRound(await measure({ ...bench, server }, job))
  }

  const [first, ...others] = servers as [RunningServer, ...RunningServer[]]
  const rounds = new Map<RunningServer, VerificationRound[]>(servers.map((server) => [server, []]))
  for (let round = 0; round < settings.rounds; round++) {
    for (const server of rotate(others, round)) {
      const bare = await measureOne(first)
      const own = await measureOne(server)
      rounds.get(first)?.push({ bare, own: bare })
      rounds.get(server)?.push({ bare, own })
      report(
        `round ${round + 1}, verify, ${server.title}: ${grouped(own.perSecond)} requests a second, ` +
          `${(own.perSecond / bare.perSecond).toFixed(2)} of bare`
      )
    }
  }
  return rounds
}

async function openSessions({ generator }: Bench, { port, tokenHeader }: RunningServer): Promise<string[]> {
  const logins = loginRequests(SESSIONS, (index) => `user-${index}`)
  const { answers } = await generator.run({ port, requests: logins, keepAnswers: true })
  return answers.map((answer) => toRequest('GET', '/me', credentialOf(answer, tokenHeader)))
}
