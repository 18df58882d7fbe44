import { type Measured, measure, type RunningServer } from '../../running-server.js'
import { rotate } from '../../stats.js'
import type { Bench } from '../bench.js'

/** Two kinds of requests, measured in short batches in turn. */
export interface Comparison {
  title: string
  own: Batches
  /** What `own` is compared with. */
  other: Batches
  /** The largest ratio of `own` to `other` that reaches the goal, or null without a goal. */
  goal: number | null
}

/** CPU microseconds per request, one value per batch. */
export interface Batches {
  title: string
  cpuMicros: number[]
  redisCpuMicros: number[]
}

/** Requests to a server. */
export interface Subject {
  server: RunningServer
  batches: Batches
  requests: string[]
  /** The status of every reply; default any 2xx. */
  status?: number
}

/** Requests of a batch: short, so that a slow phase of the machine meets all subjects. */
export const BATCH = 300
const BATCHES_PER_ROUND = 5
const WARM_UP_BATCHES = 10

export function newBatches(title: string): Batches {
  return { title, cpuMicros: [], redisCpuMicros: [] }
}

export function addBatch({ cpuMicros, redisCpuMicros }: Batches, measured: Measured): void {
  cpuMicros.push(measured.cpuMicrosPerRequest)
  redisCpuMicros.push(measured.redisCpuMicrosPerRequest)
}

/** Calls `measureOne` for each item in turn, some batches without a record first. */
export async function inTurn<Item>(
  { settings }: Bench,
  items: readonly Item[],
  measureOne: (item: Item, isRecorded: boolean) => Promise<void>
): Promise<void> {
  for (let batch = -WARM_UP_BATCHES; batch < settings.rounds * BATCHES_PER_ROUND; batch++) {
    for (const item of rotate(items, batch + WARM_UP_BATCHES)) await measureOne(item, batch >= 0)
  }
}

/** Measures subjects whose requests can be repeated. */
export function measureSubjects(bench: Bench, subjects: readonly Subject[]): Promise<void> {
  return inTurn(bench, subjects, async ({ server, batches, requests, status = null }, isRecorded) => {
    const measured = await measure({ ...bench, server }, { requests, status })
    if (isRecorded) addBatch(batches, measured)
  })
}
