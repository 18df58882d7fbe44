import { credentialOf, loginRequests, toRequest } from '../load/requests.js'
import { measure, type RunningServer } from '../running-server.js'
import { rotate } from '../stats.js'
import { type Bench, grouped, type Round, toRound } from './bench.js'

export interface LoginRound {
  login: Round
  logout: Round
  /** Growth of the Redis memory per login. */
  bytesPerSession: number
}

const LOGINS_PER_SECOND_OF_A_ROUND = 1_000
/** Other users than the measured users, because an ended session may leave a key behind. */
const WARM_UP = loginRequests(200, (index) => `warm-up-${index}`)

/** Each user logs in once and logs out. */
export async function measureLogins(bench: Bench, servers: RunningServer[]): Promise<Map<RunningServer, LoginRound[]>> {
  const count = Math.ceil(bench.settings.seconds * LOGINS_PER_SECOND_OF_A_ROUND)
  const logins = loginRequests(count, (index) => `user-${index}`)
  const rounds = new Map<RunningServer, LoginRound[]>(servers.map((server) => [server, []]))
  for (let round = 0; round < bench.settings.rounds; round++) {
    for (const server of rotate(servers, round)) {
      const measured = await measureRound(bench, server, logins)
      rounds.get(server)?.push(measured)
      const { login, logout } = measured
      bench.report(
        `round ${round + 1}, ${server.title}: ` +
          `${grouped(login.perSecond)} logins, ${grouped(logout.perSecond)} logouts a second`
      )
    }
  }
  return rounds
}

async function measureRound(bench: Bench, server: RunningServer, logins: string[]): Promise<LoginRound> {
  const { redis } = bench
  const toLogouts = (answers: string[]) =>
    answers.map((answer) => toRequest('POST', '/user/logout', credentialOf(answer, server.tokenHeader)))

  await redis.flush()
  const warmUp = await measure({ ...bench, server }, { requests: WARM_UP, keepAnswers: true })
  await measure({ ...bench, server }, { requests: toLogouts(warmUp.answers) })

  const before = await redis.usedBytes()
  const login = await measure({ ...bench, server }, { requests: logins, keepAnswers: true })
  const bytesPerSession = ((await redis.usedBytes()) - before) / logins.length
  const logout = await measure({ ...bench, server }, { requests: toLogouts(login.answers) })
  return { login: toRound(login), logout: toRound(logout), bytesPerSession }
}
