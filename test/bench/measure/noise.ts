import { quantileOf } from '../stats.js'
import type { VerificationRound } from './verification.js'

/** Noise of the machine, by two copies of the bare server. Shares of the median, such as 0.15. */
export interface Noise {
  /** From the 10th to the 90th percentile of the bare server's requests per second in all rounds. */
  bare: number
  /** The same of the copy's requests per second, relative to the bare server in the same round. */
  copies: number
  /** By how much the median of the copy differs from the bare server. */
  difference: number
  /** From the 10th to the 90th percentile of the CPU time per request of the bare server. */
  cpu: number
}

/** Above the spread the results are printed and not written. */
export const MAX_NOISE = 0.15

export function noiseOf(bare: readonly VerificationRound[], copy: readonly VerificationRound[]): Noise {
  const ratios = copy.map(({ own, bare }) => own.perSecond / bare.perSecond)
  return {
    bare: spreadShare(bare.map(({ own }) => own.perSecond)),
    copies: spreadShare(ratios),
    difference: Math.abs(quantileOf(ratios, 0.5) - 1),
    cpu: spreadShare(bare.map(({ own }) => own.cpuMicrosPerRequest))
  }
}

export function isTooNoisy({ bare, copies, difference }: Noise): boolean {
  // Negated, so that NaN of a run without measurements counts as noise.
  return !(Math.max(bare, copies, difference) <= MAX_NOISE)
}

/** One sentence for the report and for the terminal. */
export function describeNoise({ bare, copies, difference, cpu }: Noise): string {
  const percent = (share: number) => `${(share * 100).toFixed(1)} %`
  return (
    `Noise of the machine: the bare server's requests per second spread over ${percent(bare)} of the median (10th to 90th ` +
    `percentile; CPU time per request: ${percent(cpu)}). A second copy of the bare server, relative to the first in each ` +
    `round, spreads over ${percent(copies)} and differs by ${percent(difference)} in the median. ` +
    `Above ${percent(MAX_NOISE)} results are not written.`
  )
}

function spreadShare(values: readonly number[]): number {
  return (quantileOf(values, 0.9) - quantileOf(values, 0.1)) / quantileOf(values, 0.5)
}
