import type { Round } from '../measure/bench.js'
import type { Commands } from '../measure/check-server.js'
import type { Growth } from '../measure/growth.js'
import type { LoginRound } from '../measure/login-and-logout.js'
import type { Memory } from '../measure/memory.js'
import type { Noise } from '../measure/noise.js'
import type { Revocation } from '../measure/revocation.js'
import type { Comparison } from '../measure/side-by-side/comparison.js'
import type { VerificationRound } from '../measure/verification.js'
import type { RunningServer } from '../running-server.js'
import { type Spread, spreadBy, spreadOf } from '../stats.js'
import type { Facts } from './facts.js'

/** The results of a run. */
export interface Results {
  facts: Facts
  noise: Noise
  /** The first server is bare. */
  servers: ServerResults[]
  comparisons: Comparison[]
  revocation: Revocation
  /** Null without a measurement of growth. */
  memory: Memory | null
  growth: GrowthResults[]
  notAvailable: string[]
}

export interface ServerResults {
  title: string
  endsAtLogout: boolean
  commands: Commands
  verification: {
    perSecond: Spread
    ofBare: Spread
    cpuMicrosAboveBare: Spread
    p50Ms: Spread
    p99Ms: Spread
    redisCpuMicros: Spread
    rssMegabytesAboveBare: Spread
    /** Share of the server's core. */
    busy: number
  }
  loginsPerSecond: Spread
  loginCpuMicros: Spread
  logoutsPerSecond: Spread
  bytesPerSession: Spread
}

export interface GrowthResults extends Pick<Growth, 'sessions' | 'isOneUser' | 'bytesPerSession' | 'manyTokens'> {
  /** Null for operations that were not measured. */
  perSecond: Record<GrowthOperation, Spread | null>
  /** Requests per second relative to the first number of sessions in the same round. */
  toFirst: Record<GrowthOperation, Spread | null>
  verifyP99Ms: Spread
}

export const GROWTH_OPERATIONS = ['verify', 'verifyMany', 'login', 'list', 'revokeAll'] as const

export type GrowthOperation = (typeof GROWTH_OPERATIONS)[number]

export interface MeasuredServer {
  server: RunningServer
  commands: Commands
  verification: VerificationRound[]
  logins: LoginRound[]
}

export function summarise({ server, commands, verification, logins }: MeasuredServer): ServerResults {
  const own = (figure: (round: Round) => number) => spreadBy(verification, (round) => figure(round.own))
  return {
    title: server.title,
    endsAtLogout: server.endsAtLogout,
    commands,
    verification: {
      perSecond: own(({ perSecond }) => perSecond),
      ofBare: spreadBy(verification, ({ own, bare }) => own.perSecond / bare.perSecond),
      cpuMicrosAboveBare: spreadBy(verification, ({ own, bare }) => own.cpuMicrosPerRequest - bare.cpuMicrosPerRequest),
      p50Ms: own(({ p50Ms }) => p50Ms),
      p99Ms: own(({ p99Ms }) => p99Ms),
      redisCpuMicros: own(({ redisCpuMicrosPerRequest }) => redisCpuMicrosPerRequest),
      rssMegabytesAboveBare: spreadBy(verification, ({ own, bare }) => (own.rssBytes - bare.rssBytes) / 1e6),
      busy: own(({ busy }) => busy).median
    },
    loginsPerSecond: spreadBy(logins, ({ login }) => login.perSecond),
    loginCpuMicros: spreadBy(logins, ({ login }) => login.cpuMicrosPerRequest),
    logoutsPerSecond: spreadBy(logins, ({ logout }) => logout.perSecond),
    bytesPerSession: spreadBy(logins, ({ bytesPerSession }) => bytesPerSession)
  }
}

/** @param all the first is what the others are compared with */
export function summariseGrowth(all: readonly Growth[]): GrowthResults[] {
  return all.map(({ rounds, ...growth }) => ({
    ...growth,
    perSecond: ofOperations((operation) => spreadOfRates(rounds.map((round) => round[operation]?.perSecond))),
    toFirst: ofOperations((operation) => {
      const first = operation === 'verifyMany' ? firstWith(all, growth.manyTokens) : all[0]
      return spreadOfRates(
        rounds.map((round, index) => ratio(round[operation]?.perSecond, first?.rounds[index]?.[operation]?.perSecond))
      )
    }),
    verifyP99Ms: spreadBy(rounds, ({ verify }) => verify.p99Ms)
  }))
}

/** The first with as many tokens: with fewer tokens the token memory of the process saves work. */
function firstWith(all: readonly Growth[], tokens: number): Growth | undefined {
  return all.find(({ manyTokens }) => manyTokens === tokens)
}

function ratio(rate: number | undefined, first: number | undefined): number | undefined {
  return rate === undefined || first === undefined ? undefined : rate / first
}

function ofOperations(figure: (operation: GrowthOperation) => Spread | null): Record<GrowthOperation, Spread | null> {
  return Object.fromEntries(GROWTH_OPERATIONS.map((operation) => [operation, figure(operation)])) as Record<
    GrowthOperation,
    Spread | null
  >
}

function spreadOfRates(rates: (number | undefined)[]): Spread | null {
  const measured = rates.filter((rate) => rate !== undefined)
  return measured.length === 0 ? null : spreadOf(measured)
}
