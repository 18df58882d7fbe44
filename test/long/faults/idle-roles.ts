import type { Cluster, Redis } from 'ioredis'
import type { JwtSessionOptions, RedisOptions } from '../../../lib/index.js'
import type { Watched } from '../../fixtures/watched-fastify.js'
import { startIdleApp, startIdleProcess } from './idle-app.js'
import type { IdleWay, Scene } from './idle-scene.js'

/** An app of the run: runs through the outage, is restarted during the outage, or starts after the outage. */
export interface Role {
  life: 'through' | 'restarted' | 'later'
  client: 'own' | 'injected' | 'store'
  isCached: boolean
  /** Whether the app runs in a separate operating system process. */
  isProcess?: true
  /** Whether users send only a request per third of the idle timeout. */
  isQuiet?: true
}

const THROUGH: readonly Role[] = [
  { life: 'through', client: 'own', isCached: false },
  { life: 'through', client: 'own', isCached: true },
  { life: 'through', client: 'injected', isCached: false },
  { life: 'through', client: 'injected', isCached: true },
  { life: 'through', client: 'own', isCached: false, isQuiet: true },
  { life: 'through', client: 'injected', isCached: true, isQuiet: true }
]

const CHANGING: readonly Role[] = [
  { life: 'restarted', client: 'own', isCached: false },
  { life: 'restarted', client: 'injected', isCached: true },
  { life: 'restarted', client: 'own', isCached: true, isProcess: true },
  { life: 'later', client: 'own', isCached: true },
  { life: 'later', client: 'injected', isCached: false }
]

const WITH_OWN_STORE: readonly Role[] = [
  { life: 'through', client: 'store', isCached: false },
  { life: 'through', client: 'store', isCached: false, isQuiet: true }
]

/** The apps of a run: every kind; every kind in the test process; or only restarted and later apps. */
export type Cast = 'mixed' | 'quick' | 'all restarted'

/** The apps of a run; empty when the run does not exist. */
export function rolesOf({ isShared = true }: IdleWay, scene: Scene, cast: Cast): Role[] {
  if (!isShared) return cast === 'all restarted' ? [] : [...WITH_OWN_STORE]
  const roles = cast === 'all restarted' ? CHANGING : [...THROUGH, ...CHANGING]
  return roles.filter(
    ({ client, isProcess }) => (client === 'own' ? scene.own : scene.inject) && !(isProcess && cast === 'quick')
  )
}

/** Starts the app of a role, whether the store responds or not. */
export async function startRole(t: Watched, role: Role, options: StartOptions) {
  const { client, isCached } = role
  const { scene, idleSeconds } = options
  const redis: RedisOptions | Redis | Cluster | undefined = client === 'own' ? scene.own : scene.inject?.()
  const all: Partial<JwtSessionOptions> = {
    ...(isCached && { cache: true as const }),
    requireStoreAtStart: false,
    session: { idleTimeoutSeconds: idleSeconds },
    ...scene.options,
    ...(client !== 'store' && redis !== undefined && { redis })
  }
  return role.isProcess ? startIdleProcess(t, nameOf(role), all) : startIdleApp(t, nameOf(role), all)
}

/** The name in failure messages and tables. */
export function nameOf({ life, client, isCached, isProcess, isQuiet }: Role): string {
  return [isQuiet && 'low traffic', life, isProcess && 'process', client, isCached && 'cached']
    .filter(Boolean)
    .join(', ')
}

interface StartOptions {
  scene: Scene
  idleSeconds: number
}
