import { markdownTable } from '../../fixtures/markdown-table.js'
import { grouped } from '../measure/bench.js'
import type { Memory } from '../measure/memory.js'
import { NONE, spread } from './cells.js'
import { GROWTH_OPERATIONS, type GrowthOperation, type GrowthResults } from './results.js'

/** Ratios within a tenth of 1 count as flat; a gain counts as flat too. */
const TOLERANCE = 0.1
const REDIS_GOAL_BYTES = 400
const HEAP_GOAL_BYTES = 1_024

export const DESCRIBE_GROWTH =
  'This plugin, strict with auto-pipelining. Requests a second. Each session has a user of its own, except in the column of ' +
  'one user, where each login ends the oldest session; the users that list and revoke have three sessions. A ratio is the ' +
  'median of the rounds, to the first column in the same round, and is flat from ' +
  `${(1 - TOLERANCE).toFixed(2)}. Up to 50,000 tokens are compared with the first column that has as many tokens.`

const NAMES: Record<GrowthOperation, string> = {
  verify: '`GET /me`, 1,000 tokens in turn',
  verifyMany: '`GET /me`, up to 50,000 tokens in turn',
  login: '`POST /user/login`',
  list: '`GET /user/sessions`',
  revokeAll: '`DELETE /user/sessions`'
}

/** A column per number of sessions, then a column per ratio. */
export function drawGrowth(growth: GrowthResults[]): string {
  const compared = growth.filter((results, index) => index > 0 && (results.isOneUser || index === lastOfMany(growth)))
  const head = ['', ...growth.map(titleOf), ...compared.map((results) => `ratio: ${titleOf(results)}`)]
  const rows = GROWTH_OPERATIONS.map((operation) => [
    NAMES[operation],
    ...growth.map(({ perSecond }) => (perSecond[operation] === null ? NONE : spread(perSecond[operation], 0))),
    ...compared.map(({ toFirst }) => ratioCell(toFirst[operation]?.median))
  ])
  const p99 = [
    '`GET /me`, 1,000 tokens in turn, p99 ms',
    ...growth.map(({ verifyP99Ms }) => spread(verifyP99Ms, 2)),
    ...compared.map(() => NONE)
  ]
  const first = growth[0]?.bytesPerSession ?? Number.NaN
  const bytes = [
    'bytes in Redis, each session',
    ...growth.map(({ bytesPerSession }) => grouped(bytesPerSession)),
    ...compared.map(({ bytesPerSession }) => bytesCell(bytesPerSession / first))
  ]
  return markdownTable(head, [...rows, p99, bytes])
}

/** Bytes per session in Redis and in the heap of a process, with the goals. */
export function drawMemory({ redis, redisUsed, heap, heapUsed }: Memory, growth: GrowthResults[]): string {
  const rowOf = (title: string, bytes: number, goal: number) => [
    title,
    grouped(bytes),
    grouped(goal),
    bytes <= goal ? 'reached' : 'missed'
  ]
  return markdownTable(
    ['', 'bytes each', 'goal', 'result'],
    [
      ...growth.map((results) => rowOf(`Redis, ${titleOf(results)}`, results.bytesPerSession, REDIS_GOAL_BYTES)),
      rowOf('Redis, 10,000 sessions', redis, REDIS_GOAL_BYTES),
      rowOf('Redis, the same sessions after a request that wrote activity', redisUsed, REDIS_GOAL_BYTES),
      rowOf('heap, a cached session after one request', heap, HEAP_GOAL_BYTES),
      rowOf('heap, a cached session after three requests', heapUsed, HEAP_GOAL_BYTES)
    ]
  )
}

function titleOf({ sessions, isOneUser }: GrowthResults): string {
  return `${grouped(sessions)} sessions${isOneUser ? ' of one user' : ''}`
}

/** The index of the largest number of sessions with a user each. */
function lastOfMany(growth: GrowthResults[]): number {
  return growth.findLastIndex(({ isOneUser }) => !isOneUser)
}

function ratioCell(ratio: number | undefined): string {
  if (ratio === undefined) return NONE
  return `${ratio.toFixed(2)}, ${ratio >= 1 - TOLERANCE ? 'flat' : 'not flat'}`
}

/** Fewer bytes count as flat. */
function bytesCell(ratio: number): string {
  return `${ratio.toFixed(2)}, ${ratio <= 1 + TOLERANCE ? 'flat' : 'not flat'}`
}
