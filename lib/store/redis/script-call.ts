import { UnexpectedReplyError } from '../check-reply.js'
import type { CreateResult, EndReason } from '../session-store.js'
import type { BeatReply } from './downtime-watch.js'

/** A time by `performance.now()`. The script gets the time by the clock of Redis. */
export interface LocalTime {
  localMs: number
}

/** The operations of the script, each with its arguments and its reply. `session-script.ts` explains the operations. */
export interface ScriptOperations {
  create: {
    args: [
      random: string,
      record: string,
      ttlMs: string,
      startedAt: LocalTime,
      max: string,
      onFull: 'evict' | 'reject',
      replaces: string,
      tokens: string
    ]
    reply: { result: CreateResult; evicted: number; hasReplaced: boolean }
  }
  replace: { args: [random: string, record: string, next: string]; reply: 'replaced' | 'conflict' | 'too_late' }
  writeTokens: { args: [random: string, tokens: string, previous: string]; reply: 'written' | 'conflict' | 'too_late' }
  endOne: { args: [random: string, reason: EndReason]; reply: { record: string } | null }
  endAll: { args: [exceptRandom: string, atLeast: string]; reply: { generation: string } | 'too_late' }
  list: { args: []; reply: { random: string; record: string }[] }
  exists: { args: [random: string]; reply: { head: boolean; own: boolean } }
  beat: { args: [gapAfterMs: string, failedForMs: string, rememberMs: string]; reply: BeatReply }
  ping: { args: []; reply: null }
}

/** The name of an operation. */
export type ScriptOperation = keyof ScriptOperations

/** An operation with its arguments. */
export type ScriptCall = {
  [Name in ScriptOperation]: [operation: Name, ...args: ScriptOperations[Name]['args']]
}[ScriptOperation]

/** The reply to an operation. */
export type ScriptReply<Name extends ScriptOperation> = ScriptOperations[Name]['reply']

/** For `exceptRandom` and `replaces`: no session. Shorter than the random part of any session id. */
export const NO_SESSION = 'none'
/** For `tokens` and `previous`: no text. */
export const NO_TOKENS = ''
/** For `notAfter`: no deadline. */
export const NO_DEADLINE = 'none'
/** For `atLeast`: a new generation in any case. */
export const NEW_GENERATION = 'new'
/** For `onFull`: the new session is rejected. */
export const REJECT = 'reject'
/** The last argument of `endOne` and `endAll` when WAIT follows. */
export const WAIT_FOLLOWS = 'wait'

const PARSERS: { [Name in ScriptOperation]: (texts: string[]) => ScriptReply<Name> } = {
  create: ([result, evicted = '0', hasReplaced]) => ({
    result: oneOf(result, ['created', 'full', 'too_late', 'revoked']),
    evicted: Number(evicted),
    hasReplaced: hasReplaced === '1'
  }),
  replace: ([result]) => oneOf(result, ['replaced', 'conflict', 'too_late']),
  writeTokens: ([result]) => oneOf(result, ['written', 'conflict', 'too_late']),
  endOne: ([result, record]) => (oneOf(result, ['ended', 'absent']) === 'ended' ? { record: present(record) } : null),
  endAll: ([result, generation]) =>
    oneOf(result, ['ended', 'too_late']) === 'ended' ? { generation: present(generation) } : 'too_late',
  list: (texts) =>
    Array.from({ length: texts.length / 2 }, (_, i) => ({
      random: present(texts[2 * i]),
      record: present(texts[2 * i + 1])
    })),
  exists: ([head, own]) => ({ head: oneOf(head, ['0', '1']) === '1', own: oneOf(own, ['0', '1']) === '1' }),
  beat: ([result, serverTime = '', text = '']) => ({
    isWritten: oneOf(result, ['written', 'refused']) === 'written',
    serverTime: Number(serverTime),
    text
  }),
  ping: () => null
}

/**
 * Parses the result of {@link ScriptRunner.run}.
 *
 * @throws {UnexpectedReplyError} not a result of this operation
 */
export function parseReply<Name extends ScriptOperation>(operation: Name, texts: string[]): ScriptReply<Name> {
  return PARSERS[operation](texts)
}

function oneOf<const Result extends string>(text: string | undefined, results: readonly Result[]): Result {
  const found = results.find((result) => result === text)
  if (found === undefined) throw new UnexpectedReplyError('The script has replied with a result of another operation')
  return found
}

function present(text: string | undefined): string {
  if (text === undefined) throw new UnexpectedReplyError('The script has replied with too few texts')
  return text
}
