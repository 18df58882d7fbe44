import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { createFileStore } from '../../examples/file-store.js'
import { createMemoryStore } from '../../lib/store/memory-store.js'
import { createRedisStore } from '../../lib/store/redis/redis-store.js'
import type { SessionStore } from '../../lib/store/session-store.js'
import { connectRedis } from '../fixtures/redis/start-redis.js'
import { type Picture, Scene } from '../fixtures/store-scene.js'
import { createRandom } from '../long/fuzz/random.js'

/** A long run: `STORE_MODEL_SCENES=2000 STORE_MODEL_SEED=$RANDOM npx tap test/store/model.test.ts`. */
const { STORE_MODEL_SCENES = '2', STORE_MODEL_SEED = '1' } = process.env
const SCENES = Number(STORE_MODEL_SCENES)
const FIRST_SEED = Number(STORE_MODEL_SEED)
const STEPS = 60
/** Scenes at the same time. A scene waits most of the time. */
const AT_ONCE = 4

type Outcome = 'played' | 'disturbed'

t.test('all stores reply alike to random calls, and no ended session comes back', async (t) => {
  const memory = createMemoryStore()
  t.teardown(() => memory.close())
  const stores: Record<string, SessionStore> = {
    memory,
    Redis: createRedisStore(await connectRedis(t)),
    files: await createFileStore(t.testdir(), { isNew: true })
  }
  // A scene is played again when a busy machine has disturbed the scene.
  t.setTimeout(SCENES * 150_000)
  const seeds = Array.from({ length: SCENES }, (_, i) => FIRST_SEED + i)
  const outcomes: Outcome[] = []
  const playAll = async () => {
    for (let seed = seeds.shift(); seed !== undefined && t.passing(); seed = seeds.shift()) {
      outcomes.push(await playUntilUndisturbed(t, stores, seed))
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, playAll))
  if (t.passing())
    t.ok(outcomes.filter((outcome) => outcome === 'played').length >= outcomes.length / 2, 'most scenes were played')
})

/** On a busy machine a session may expire in the middle of a step. Then the stores may differ. */
async function playUntilUndisturbed(t: Test, stores: Record<string, SessionStore>, seed: number): Promise<Outcome> {
  for (let attempt = 0; attempt < 50; attempt++) {
    if ((await play(t, stores, seed)) === 'played') return 'played'
  }
  return 'disturbed'
}

async function play(t: Test, stores: Record<string, SessionStore>, seed: number): Promise<Outcome> {
  const scene = new Scene(createRandom(seed, 0), randomUUID())
  const over = new Over(scene)
  const script: string[] = []
  for (let step = 0; step < STEPS; step++) {
    await scene.waitForQuiet()
    const from = Date.now()
    const calls = scene.nextCalls()
    script.push(calls.map(({ text }) => text).join(' & ') || 'no calls')
    const views = await Promise.all(
      Object.entries(stores).map(async ([name, store]) => {
        const answers = await Promise.all(calls.map((call) => call.run(store)))
        return { name, answers, ...(await scene.picture(store)) }
      })
    )
    scene.noteStep(Date.now() - from)
    if (scene.hasExpiry(from, Date.now())) return 'disturbed'
    const wrong = [...differences(views), ...over.comeBack(views[0]?.found)]
    if (wrong.length > 0) {
      t.fail(`step ${step} of the scene with seed ${seed}`, { wrong, script })
      return 'played'
    }
  }
  t.pass(`the scene with seed ${seed}`)
  return 'played'
}

interface View extends Picture {
  name: string
  answers: unknown[]
}

/** The facts in which a store differs from the first store. */
function differences([first, ...others]: View[]): string[] {
  const facts = ({ answers, found, tokens, listed }: View) => [
    `answers ${JSON.stringify(answers)}`,
    ...Object.entries(found).map(([name, found]) => `${name} is ${JSON.stringify(found)}`),
    ...Object.entries(tokens).map(([name, tokens]) => `${name} has ${JSON.stringify(tokens)}`),
    `listed ${JSON.stringify(listed)}`
  ]
  const expected = first === undefined ? [] : facts(first)
  return others.flatMap((view) =>
    facts(view).flatMap((fact, i) =>
      fact === expected[i] ? [] : [`${view.name}: ${fact}, ${first?.name}: ${expected[i]}`]
    )
  )
}

/** The sessions of a scene that have ended or are gone. */
class Over {
  readonly #open = new Set<string>()
  readonly #over = new Set<string>()
  readonly #scene: Scene
  #before: Picture['found'] = {}

  constructor(scene: Scene) {
    this.#scene = scene
  }

  /** Sessions that are open again, or whose reason has changed. */
  comeBack(found: Picture['found'] = {}): string[] {
    const before = this.#before
    this.#before = found
    return Object.entries(found).flatMap(([name, now]) => {
      const past = before[name]
      const isOpen = now !== null && 'record' in now
      const isBack = isOpen && this.#over.has(name)
      const isStillOver = past && 'ended' in past && !this.#scene.hasExpired(name)
      const isChanged = isStillOver && JSON.stringify(past) !== JSON.stringify(now)
      if (isOpen) this.#open.add(name)
      else if (now !== null || this.#open.has(name)) this.#over.add(name)
      return isBack || isChanged ? [`${name} is ${JSON.stringify(now)} after ${JSON.stringify(past)}`] : []
    })
  }
}
