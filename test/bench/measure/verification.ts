import { credentialOf, loginRequests, toRequest } from '../load/requests.js'
import { measure, type RunningServer } from '../running-server.js'
import { rotate } from '../stats.js'
import { type Bench, grouped, type Round, toRound } from './bench.js'

/** How many sessions the requests are spread over. */
const SESSIONS = 1_000
const FIRST_WARM_UP_SECONDS = 3
const WARM_UP_SECONDS = 0.5

/** `GET /me` with a session: each server in each round, one after the other. */
export async function measureVerification(
  bench: Bench,
  servers: RunningServer[]
): Promise<Map<RunningServer, Round[]>> {
  const { settings, say, generator } = bench
  const requests = new Map<RunningServer, string[]>()
  for (const server of servers) {
    requests.set(server, await openSessions(bench, server))
    const warmUp = { port: server.port, seconds: Math.min(FIRST_WARM_UP_SECONDS, settings.seconds) }
    await generator.run({ ...warmUp, requests: requests.get(server) ?? [] })
  }

  const rounds = new Map<RunningServer, Round[]>(servers.map((server) => [server, []]))
  for (let round = 0; round < settings.rounds; round++) {
    for (const server of rotate(servers, round)) {
      const job = { requests: requests.get(server) ?? [], warmUpSeconds: WARM_UP_SECONDS, seconds: settings.seconds }
      const measured = toRound(await measure({ ...bench, server }, job))
      rounds.get(server)?.push(measured)
      say(`round ${round + 1}, verify, ${server.title}: ${grouped(measured.perSecond)} requests a second`)
    }
  }
  return rounds
}

async function openSessions({ generator }: Bench, { port, tokenHeader }: RunningServer): Promise<string[]> {
  const logins = loginRequests(SESSIONS, (index) => `user-${index}`)
  const { answers } = await generator.run({ port, requests: logins, keepAnswers: true })
  return answers.map((answer) => toRequest('GET', '/me', credentialOf(answer, tokenHeader)))
}
