import type { Cluster, Redis } from 'ioredis'
import type { JwtSessionOptions, RedisOptions } from '../../../lib/index.js'
import type { Watched } from '../../fixtures/watched-fastify.js'
import { startIdleApp, startIdleProcess } from './idle-app.js'
import type { IdleWay, Scene } from './idle-scene.js'

/** A process of the run: it runs through the outage, is restarted during the outage, or starts after it. */
export interface Role {
  life: 'through' | 'restarted' | 'later'
  client: 'own' | 'injected' | 'store'
  isCached: boolean
  /** Whether it is a process of the operating system. */
  isProcess?: true
  /** Its users send a request in each third of the idle timeout, and nothing else is sent. */
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

/** Which processes take part: some of each kind; the same in this process alone; or none that runs through. */
export type Cast = 'mixed' | 'quick' | 'all restarted'

/** The processes of a run; none when there is no such run. */
export function rolesOf({ isShared = true }: IdleWay, scene: Scene, cast: Cast): Role[] {
  if (!isShared) return cast === 'all restarted' ? [] : [...WITH_OWN_STORE]
  const roles = cast === 'all restarted' ? CHANGING : [...THROUGH, ...CHANGING]
  return roles.filter(
    ({ client, isProcess }) => (client === 'own' ? scene.own : scene.inject) && !(isProcess && cast === 'quick')
  )
}

/** Starts a process of this kind, whether its store responds or not. */
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

/** In words. */
export function nameOf({ life, client, isCached, isProcess, isQuiet }: Role): string {
  return [isQuiet && 'low traffic', life, isProcess && 'process', client, isCached && 'cached']
    .filter(Boolean)
    .join(', ')
}

interface StartOptions {
  scene: Scene
  idleSeconds: number
}
