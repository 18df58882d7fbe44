import { Child } from '../child.js'
import { credentialOf, loginRequests, toRequest } from '../load/requests.js'
import { startRedis } from '../redis.js'
import { measure, type RunningServer, startServer } from '../running-server.js'
import { rotate } from '../stats.js'
import { type Bench, grouped, type Round, toRound } from './bench.js'

/** The results of a server with a number of sessions in a separate Redis. */
export interface Growth {
  sessions: number
  bytesPerSession: number
  rounds: GrowthRound[]
}

export interface GrowthRound {
  /** A fixed number of tokens, for every number of sessions. */
  verify: Round
  /** More tokens than the token memory of a process, if enough sessions exist. */
  verifyMany: Round
  login: Round
  list: Round
  revokeAll: Round
}

interface Filled {
  growth: Growth
  bench: Bench & { server: RunningServer }
  /** `GET /me` of sessions across all users. */
  requests: string[]
  /** A fixed number of the requests. */
  fewRequests: string[]
  end(): Promise<void>
}

const SAMPLES = 50_000
const FEW_SAMPLES = 1_000
const USERS_PER_SECOND_OF_A_ROUND = 500
const SESSIONS_PER_USER = 3
const WARM_UP_SECONDS = 1

/** Measures the same work with increasing numbers of sessions, for the plugin, strict with auto-pipelining. */
export async function measureGrowth(bench: Bench): Promise<Growth[]> {
  const { sessionCounts, rounds, seconds } = bench.settings
  const all: Filled[] = []
  try {
    for (const sessions of sessionCounts) all.push(await fill(bench, sessions))
    for (let round = 0; round < rounds; round++) {
      for (const { growth, bench, requests, fewRequests } of rotate(all, round)) {
        const job = { warmUpSeconds: WARM_UP_SECONDS, seconds }
        const verify = toRound(await measure(bench, { ...job, requests: fewRequests }))
        const verifyMany = toRound(await measure(bench, { ...job, requests }))
        const measured = { verify, verifyMany, ...(await measureUsers(bench, round)) }
        growth.rounds.push(measured)
        bench.report(
          `round ${round + 1}, ${grouped(growth.sessions)} sessions: ${grouped(verify.perSecond)} verifications, ` +
            `${grouped(measured.login.perSecond)} logins, ${grouped(measured.list.perSecond)} lists, ` +
            `${grouped(measured.revokeAll.perSecond)} times revoke-all a second`
        )
      }
    }
  } finally {
    for (const { end } of all) await end()
  }
  return all.map(({ growth }) => growth)
}

async function fill(bench: Bench, sessions: number): Promise<Filled> {
  const core = bench.cores?.server
  const redis = await startRedis(bench.cores)
  const before = await redis.usedBytes()
  const child = new Child({ file: 'fill', args: [redis.socketPath, String(sessions), String(SAMPLES)], core })
  const tokens = await child.next<string[]>()
  await child.end()
  const bytesPerSession = ((await redis.usedBytes()) - before) / sessions
  bench.report(`${grouped(sessions)} sessions: ${grouped(bytesPerSession)} bytes of Redis each`)

  const server = await startServer('plugin-strict-pipelining', { ...bench, redis, core })
  if ('notAvailable' in server) throw new Error(server.notAvailable)
  const requests = tokens.map((token) => toRequest('GET', '/me', { authorization: `Bearer ${token}` }))
  return {
    growth: { sessions, bytesPerSession, rounds: [] },
    bench: { ...bench, redis, server },
    requests,
    fewRequests: requests.filter((_, index) => index % Math.ceil(requests.length / FEW_SAMPLES) === 0),
    async end() {
      await server.end()
      await redis.close()
    }
  }
}

/** Users log in three times, list the sessions, end all other sessions, and log out. */
async function measureUsers(
  bench: Filled['bench'],
  round: number
): Promise<Omit<GrowthRound, 'verify' | 'verifyMany'>> {
  const users = Math.ceil(bench.settings.seconds * USERS_PER_SECOND_OF_A_ROUND)
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

const SESSIONS_PATH = '/user/sessions'
