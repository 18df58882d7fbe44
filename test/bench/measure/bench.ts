import type { Cores } from '../cores.js'
import type { Generator } from '../load/generator.js'
import type { BenchRedis } from '../redis.js'
import type { Measured } from '../running-server.js'
import type { Settings } from '../settings.js'

/** The parts that every measurement uses. */
export interface Bench {
  settings: Settings
  cores: Cores | null
  redis: BenchRedis
  upstreamUrl: string
  generator: Generator
  report(text: string): void
}

/** A measurement without the replies. */
export type Round = Omit<Measured, 'answers'>

export function toRound({ answers: _, ...round }: Measured): Round {
  return round
}

/** `1234567` as `1,234,567`. */
export function grouped(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}
