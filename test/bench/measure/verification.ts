import { credentialOf, loginRequests, toRequest } from '../load/requests.js'
import { measure, type RunningServer } from '../running-server.js'
import { rotate } from '../stats.js'
import { type Bench, grouped, type Round, toRound } from './bench.js'

/** How many sessions the requests are spread over. */
const SESSIONS = 1_000
const FIRST_WARM_UP_SECONDS = 3
const WARM_UP_SECONDS = 0.5

/** A server in one round, and the one that verifies nothing just before it: what slows the machine slows both. */
export interface VerificationRound {
  bare: Round
  own: Round
}

/** `GET /me` with a session: each server in each round, one after the other; the first of them is bare. */
export async function measureVerification(
  bench: Bench,
  servers: RunningServer[]
): Promise<Map<RunningServer, VerificationRound[]>> {
  const { settings, say, generator } = bench
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
      say(
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
