import { SERVERS, type ServerName } from './servers/index.js'

export interface Settings {
  rounds: number
  /** Turns of a server in a round of verifications. */
  turns: number
  /** Measured seconds of a server in a round of other operations. */
  seconds: number
  /** Numbers of sessions in Redis, with a measurement for each number; empty: no measurement of growth. */
  sessionCounts: number[]
  servers: ServerName[]
  /** Keep-alive connections, each with one request at a time. */
  connections: number
}

/** Fewer rounds give no reliable spread: the results are only printed. */
export const MIN_ROUNDS = 5
/** Many short rounds: a temporary slowdown affects few rounds, and both sides of a comparison. */
const ROUNDS = 9
/** A machine that is half as fast for some seconds, again and again, is about as fast in each round of so many turns. */
const TURNS = 30
/** Measured seconds of a turn. */
export const TURN_SECONDS = 0.1
const SECONDS = 0.6

/**
 * `BENCH_ROUNDS` (9), `BENCH_TURNS` (30), `BENCH_SECONDS` (0.6), `BENCH_SESSIONS` (`1000,100000,1000000`, or `none`) and
 * `BENCH_SERVERS` (names of files in `servers/`, default all; `bare` and `bare-copy` are always measured).
 */
export function readSettings(env: NodeJS.ProcessEnv): Settings {
  return {
    rounds: readNumber(env, 'BENCH_ROUNDS', ROUNDS),
    turns: readNumber(env, 'BENCH_TURNS', TURNS),
    seconds: readNumber(env, 'BENCH_SECONDS', SECONDS),
    sessionCounts: readCounts(env.BENCH_SESSIONS ?? '1000,100000,1000000'),
    servers: readServers(env.BENCH_SERVERS),
    connections: 64
  }
}

function readNumber(env: NodeJS.ProcessEnv, name: string, byDefault: number): number {
  const value = Number(env[name] ?? byDefault)
  if (!(value > 0)) throw new Error(`${name} must be a positive number`)
  return value
}

function readCounts(text: string): number[] {
  if (text === 'none') return []
  const counts = text.split(',').map(Number)
  if (!counts.every((count) => Number.isInteger(count) && count > 0)) {
    throw new Error('BENCH_SESSIONS must be counts with commas between them, or none')
  }
  return counts.toSorted((a, b) => a - b)
}

function readServers(text: string | undefined): ServerName[] {
  if (text === undefined) return [...SERVERS]
  const names = text.split(',')
  const unknown = names.find((name) => !SERVERS.some((known) => known === name))
  if (unknown !== undefined) throw new Error(`BENCH_SERVERS: there is no ${unknown}`)
  return SERVERS.filter((name) => name.startsWith('bare') || names.includes(name))
}
