import type { Round } from '../measure/bench.js'
import type { Commands } from '../measure/check-server.js'
import type { Growth, GrowthRound } from '../measure/growth.js'
import type { LoginRound } from '../measure/login-and-logout.js'
import type { Noise } from '../measure/noise.js'
import type { Revocation } from '../measure/revocation.js'
import type { Comparison } from '../measure/side-by-side/comparison.js'
import type { VerificationRound } from '../measure/verification.js'
import type { RunningServer } from '../running-server.js'
import { type Spread, spreadBy } from '../stats.js'
import type { Facts } from './facts.js'

/** The results of a run. */
export interface Results {
  facts: Facts
  noise: Noise
  /** The first server is bare. */
  servers: ServerResults[]
  comparisons: Comparison[]
  revocation: Revocation
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

export interface GrowthResults {
  sessions: number
  bytesPerSession: number
  perSecond: Record<GrowthOperation, Spread>
  verifyP99Ms: Spread
}

export type GrowthOperation = keyof GrowthRound

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

export function summariseGrowth({ sessions, bytesPerSession, rounds }: Growth): GrowthResults {
  const rate = (operation: GrowthOperation) => spreadBy(rounds, (round) => round[operation].perSecond)
  return {
    sessions,
    bytesPerSession,
    perSecond: {
      verify: rate('verify'),
      verifyMany: rate('verifyMany'),
      login: rate('login'),
      list: rate('list'),
      revokeAll: rate('revokeAll')
    },
    verifyP99Ms: spreadBy(rounds, ({ verify }) => verify.p99Ms)
  }
}
