import { markdownTable } from '../../fixtures/markdown-table.js'
import type { Batches, Comparison } from '../measure/side-by-side/comparison.js'
import { quantileOf } from '../stats.js'

const SHARES = [0.1, 0.25, 0.5]

/** A table with a row per comparison: the goal is compared with the ratio of the medians. */
export function drawComparisons(comparisons: readonly Comparison[]): string {
  const head = ['', 'CPU µs', 'compared with', 'CPU µs', 'Redis CPU µs', 'ratio', 'goal', 'result']
  const rows = comparisons.map(({ title, own, other, goal }) => {
    const ratios = SHARES.map((share) => quantileOf(own.cpuMicros, share) / quantileOf(other.cpuMicros, share))
    return [
      `${title}, ${own.title}`,
      quantiles(own, 0),
      other.title,
      quantiles(other, 0),
      [own, other].map(({ redisCpuMicros }) => quantileOf(redisCpuMicros, 0.5).toFixed(1)).join(' / '),
      ratios.map((ratio) => ratio.toFixed(2)).join(' · '),
      goal === null ? '–' : goal.toFixed(1),
      goal === null ? '–' : (ratios.at(-1) ?? Number.NaN) <= goal ? 'reached' : 'missed'
    ]
  })
  return markdownTable(head, rows)
}

function quantiles({ cpuMicros }: Batches, digits: number): string {
  return SHARES.map((share) => quantileOf(cpuMicros, share).toFixed(digits)).join(' · ')
}
