import { credentialOf, loginRequests, toRequest } from '../load/requests.js'
import { measure, type RunningServer, startServer } from '../running-server.js'
import { rotate } from '../stats.js'
import { type Bench, grouped, type Round, toRound } from './bench.js'
import { filledUser, fillRedis } from './filled-redis.js'

/** The results of a server with a number of sessions in a separate Redis. */
export interface Growth {
  sessions: number
  /** Whether all sessions have the same user. Otherwise each session has a user of its own. */
  isOneUser: boolean
  bytesPerSession: number
  /** Number of tokens of `verifyMany`. */
  manyTokens: number
  rounds: GrowthRound[]
}

/** Operations that would not be comparable are absent. */
export interface GrowthRound {
  /** A fixed number of tokens, for every number of sessions. */
  verify: Round
  /** More tokens than the token memory of a process, if enough sessions exist. */
  verifyMany?: Round
  login: Round
  list?: Round
  revokeAll?: Round
}

interface Filled {
  growth: Growth
  bench: Bench & { server: RunningServer }
  measureRound(round: number): Promise<GrowthRound>
  end(): Promise<void>
}

const SAMPLES = 50_000
const FEW_SAMPLES = 1_000
/** The largest `maxPerUser`. */
const SESSIONS_OF_ONE_USER = 1_000
/** With fewer users, what does not depend on the sessions would add bytes to each. */
const FULL_USERS = 50
/** Logins of about the same time have no order, so some of the newest sessions may have been evicted. */
const SURE_SESSIONS = 900
const USERS_PER_SECOND_OF_A_ROUND = 500
const SESSIONS_PER_USER = 3
const WARM_UP_SECONDS = 0.5
/** Fewer rounds than other measurements: the run shall not take longer than necessary. */
const MAX_ROUNDS = 5

/** Measures the same work with increasing numbers of sessions, for the plugin, strict with auto-pipelining. */
export async function measureGrowth(bench: Bench): Promise<Growth[]> {
  const { sessionCounts, rounds } = bench.settings
  if (sessionCounts.length === 0) return []
  const all: Filled[] = []
  try {
    for (const sessions of sessionCounts) all.push(await fillWithUsers(bench, sessions))
    all.push(await fillWithOneUser(bench))
    for (let round = 0; round < Math.min(rounds, MAX_ROUNDS); round++) {
      for (const { growth, measureRound } of rotate(all, round)) {
        const measured = await measureRound(round)
        growth.rounds.push(measured)
        const { verify, login } = measured
        bench.report(
          `round ${round + 1}, ${grouped(growth.sessions)} sessions${growth.isOneUser ? ' of one user' : ''}: ` +
            `${grouped(verify.perSecond)} verifications, ${grouped(login.perSecond)} logins a second`
        )
      }
    }
  } finally {
    for (const { end } of all) await end()
  }
  return all.map(({ growth }) => growth)
}

async function fillWithUsers(bench: Bench, sessions: number): Promise<Filled> {
  const { redis, bytesPerSession, tokens } = await fillRedis(bench, sessions, SAMPLES)
  bench.report(`${grouped(sessions)} sessions: ${grouped(bytesPerSession)} bytes of Redis each`)
  const server = await startPlugin({ ...bench, redis })
  const own = { ...bench, redis, server }
  const requests = tokens.map((token) => toVerification({ authorization: `Bearer ${token}` }))
  const few = requests.filter((_, index) => index % Math.ceil(requests.length / FEW_SAMPLES) === 0)
  return {
    growth: { sessions, isOneUser: false, bytesPerSession, manyTokens: requests.length, rounds: [] },
    bench: own,
    measureRound: async (round) => ({
      verify: await verify(own, few),
      verifyMany: await verify(own, requests),
      ...(await measureUsers(own, round))
    }),
    end: () => end(own)
  }
}

/**
 * Users with as many sessions as the plugin allows. Requests are those of the first user, whose further logins each end
 * the oldest session. The bytes of a session are those of all users.
 */
async function fillWithOneUser(bench: Bench): Promise<Filled> {
  const sessions = SESSIONS_OF_ONE_USER
  const { redis, bytesPerSession, tokens } = await fillRedis(bench, FULL_USERS * sessions, sessions, FULL_USERS)
  bench.report(`${grouped(sessions)} sessions of one user: ${grouped(bytesPerSession)} bytes of Redis each`)
  const server = await startPlugin({ ...bench, redis })
  const own = { ...bench, redis, server }
  let requests = tokens.slice(-SURE_SESSIONS).map((token) => toVerification({ authorization: `Bearer ${token}` }))
  const manyTokens = 0
  return {
    growth: { sessions, isOneUser: true, bytesPerSession, manyTokens, rounds: [] },
    bench: own,
    async measureRound() {
      const verified = await verify(own, requests)
      const logins = loginRequests(usersOf(bench), () => filledUser(0))
      const login = await measure(own, { requests: logins, keepAnswers: true })
      const opened = login.answers.map((answer) => toVerification(credentialOf(answer, undefined)))
      requests = [...requests, ...opened].slice(-SURE_SESSIONS)
      return { verify: verified, login: toRound(login) }
    },
    end: () => end(own)
  }
}

async function startPlugin(bench: Bench): Promise<RunningServer> {
  const server = await startServer('plugin-strict-pipelining', { ...bench, core: bench.cores?.server })
  if ('notAvailable' in server) throw new Error(server.notAvailable)
  return server
}

async function end({ server, redis }: Filled['bench']): Promise<void> {
  await server.end()
  await redis.close()
}

async function verify(bench: Filled['bench'], requests: string[]): Promise<Round> {
  const { seconds } = bench.settings
  return toRound(await measure(bench, { warmUpSeconds: WARM_UP_SECONDS, seconds, requests }))
}

function usersOf({ settings }: Bench): number {
  return Math.ceil(settings.seconds * USERS_PER_SECOND_OF_A_ROUND)
}

/** Users log in three times, list the sessions, end all other sessions, and log out. */
async function measureUsers(
  bench: Filled['bench'],
  round: number
): Promise<Omit<GrowthRound, 'verify' | 'verifyMany'>> {
  const users = usersOf(bench)
  const logins = loginRequests(users * SESSIONS_PER_USER, (index) => `growth-${round}-${index % users}`)
  const login = await measure(bench, { requests: logins, keepAnswers: true })
  const credentials = login.answers.map((answer) => credentialOf(answer, undefined))
  const oneEach = credentials.slice(-users)

  const list = await measure(bench, { requests: credentials.map((header) => toRequest('GET', SESSIONS_PATH, header)) })
  const revokeAll = await measure(bench, {
    requests: oneEach.map((header) => toRequest('DELETE', SESSIONS_PATH, header))
  })
  await measure(bench, { requests: oneEach.map((header) => toRequest('POST', '/user/logout', header)) })
  return { login: toRound(login), list: toRound(list), revokeAll: toRound(revokeAll) }
}

function toVerification(headers: Record<string, string>): string {
  return toRequest('GET', '/me', headers)
}

const SESSIONS_PATH = '/user/sessions'
