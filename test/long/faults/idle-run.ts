import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { logIn } from '../../fixtures/app.js'
import type { Watched } from '../../fixtures/watched-fastify.js'
import { withTeardown } from '../../fixtures/with-teardown.js'
import { createDoor, type IdleApp } from './idle-app.js'
import { type Cast, type Role, rolesOf, startRole } from './idle-roles.js'
import type { IdleWay, Scene } from './idle-scene.js'
import { beActive, createUser, expectExpired, expectLive, type IdleUser } from './idle-user.js'

/** The results of the users of an app. */
export interface IdleReport {
  role: Role
  active: IdleUser[]
  idle: IdleUser
}

/** Resolves to an empty list when the run does not exist. */
export async function runIdle(way: IdleWay, cast: Cast): Promise<IdleReport[]> {
  return withTeardown(async (t) => {
    const scene = await way.open(t)
    const roles = rolesOf(way, scene, cast)
    return roles.length === 0 ? [] : new IdleRun(t, way, scene).run(roles)
  })
}

/** An app of the run with users. */
interface Member extends IdleReport {
  /** Null while the app does not run. */
  app: IdleApp | null
}

const ACTIVE_USERS = 4
/** Beats by which measured downtime may exceed real downtime. */
const BEATS = 3

/** An outage longer than the idle timeout, for all kinds of apps in parallel. */
class IdleRun {
  readonly #t: Watched
  readonly #scene: Scene
  readonly #idleSeconds: number
  readonly #idleMs: number
  readonly #outageMs: number
  #members: Member[] = []

  constructor(t: Watched, { idleSeconds = 3, lasts = 1.5 }: IdleWay, scene: Scene) {
    this.#t = t
    this.#scene = scene
    this.#idleSeconds = idleSeconds
    this.#idleMs = idleSeconds * 1_000
    this.#outageMs = lasts * this.#idleMs
  }

  async run(roles: Role[]): Promise<IdleReport[]> {
    const idleMs = this.#idleMs
    const door = await createDoor(this.#t, this.#scene, this.#idleSeconds)
    this.#members = roles.map((role) => ({ role, active: [], idle: createUser(''), app: null }))
    await this.#startAll('through', 'restarted')
    await this.#openSessions(door)
    const stop = new AbortController()
    const activities = this.#beActive(stop.signal)
    await delay(idleMs / 2)
    for (const [index, member] of this.#members.entries()) member.idle = createUser(await logIn(door, `idle-${index}`))
    // The app of the logins must not see the outage.
    await door.close()

    await this.#outage()
    const endedAt = performance.now()
    await this.#startAll('later')
    // A load balancer may send users to another app.
    await this.#expectLive(({ role }) => role.life === 'later', 1)
    await delay(endedAt + idleMs * 1.1 + (BEATS * idleMs) / 10 - performance.now())
    await Promise.all(this.#members.map(({ idle, app }) => app && expectExpired(idle, app)))
    stop.abort()
    await activities
    await this.#expectLive(() => true, ACTIVE_USERS)
    return this.#members
  }

  async #startAll(...lives: Role['life'][]): Promise<void> {
    const starting = this.#members.filter(({ role }) => lives.includes(role.life))
    await Promise.all(starting.map((member) => this.#start(member)))
  }

  async #start(member: Member): Promise<void> {
    member.app = await startRole(this.#t, member.role, { scene: this.#scene, idleSeconds: this.#idleSeconds })
  }

  async #openSessions(door: FastifyInstance): Promise<void> {
    for (const [index, { role, active }] of this.#members.entries()) {
      if (role.life === 'later') continue
      for (let i = 0; i < ACTIVE_USERS; i++) active.push(createUser(await logIn(door, `active-${index}-${i}`)))
    }
  }

  async #beActive(signal: AbortSignal): Promise<void> {
    const idleMs = this.#idleMs
    const activities = this.#members.flatMap((member) =>
      member.active.map(async (user, index) => {
        const isRare = member.role.isQuiet || index % 2 === 0
        // Users start at different times.
        await delay((idleMs / 3) * (index / ACTIVE_USERS))
        await beActive(user, {
          // A load balancer sends requests only to running apps.
          app: () => member.app ?? this.#members.find(({ app }) => app !== null)?.app ?? null,
          everyMs: isRare ? idleMs / 3 : idleMs / 12,
          starvedMs: idleMs / 2,
          signal
        })
      })
    )
    await Promise.all(activities)
  }

  async #outage(): Promise<void> {
    const startedAt = performance.now()
    await this.#scene.start()
    await delay(this.#outageMs / 2)
    const restarted = this.#members.filter(({ role }) => role.life === 'restarted')
    await Promise.all(
      restarted.map(async (member) => {
        const { app } = member
        member.app = null
        await app?.close()
        await this.#start(member)
      })
    )
    await delay(startedAt + this.#outageMs - performance.now())
    await this.#scene.end()
  }

  /** @param count number of users of each app */
  async #expectLive(isIncluded: (member: Member) => boolean, count: number): Promise<void> {
    const apps = this.#members.filter(isIncluded).flatMap(({ app }) => app ?? [])
    const users = this.#members.flatMap(({ active }) => active.slice(0, count))
    // One request at a time for each app: overload is a different fault.
    await Promise.all(
      apps.map(async (app) => {
        for (const user of users) await expectLive(user, app)
      })
    )
  }
}
