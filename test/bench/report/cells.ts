import { grouped } from '../measure/bench.js'
import type { Spread } from '../stats.js'

/** The cell of a figure that does not exist. */
export const NONE = '–'

/** The median, with the lowest and the highest round in brackets. */
export function spread({ median, low, high }: Spread, digits: number): string {
  const text = (value: number) => (digits === 0 ? grouped(value) : value.toFixed(digits))
  return `${text(median)} (${text(low)}–${text(high)})`
}
