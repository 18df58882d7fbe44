import { AssertionError } from 'node:assert'
import { SessionEndedError, type SessionEndReason, StoreUnavailableError } from '../errors.js'
import { checkFields, orDefaultEmpty } from '../options/checks.js'
import {
  type FetchResponse,
  type InjectedResponse,
  isInjected,
  readInjected,
  readResponse,
  type SeenResponse,
  type UndiciResponse
} from './read-response.js'

/** Options of {@link assertEnded}. */
export interface AssertEndedOptions {
  /**
   * Whether the response must have the header `Clear-Site-Data`. False for responses that must not have the header:
   * with `clearSiteData: false`, for a page of another origin, and for the browser client. Default true.
   */
  clearSiteData?: boolean | undefined
}

/**
 * Asserts that a response tells the client that its session has ended, and that the client deletes its data: 401, the
 * code `FST_JWT_SESSION_ENDED`, the reason in the body and in `Session-Ended`, `Clear-Site-Data` and `WWW-Authenticate`.
 * With the reason `logged_in_again` both headers of the clear signal must be absent.
 *
 * @throws {AssertionError} with what the response has; the rest of its body is not shown
 * @throws {InvalidOptionError} an unknown option
 */
function assertEnded(response: InjectedResponse, reason: SessionEndReason, options?: AssertEndedOptions): void
/** The same for a response of `fetch()` or undici, whose body is yet to come: the promise must be awaited. */
function assertEnded(
  response: FetchResponse | UndiciResponse,
  reason: SessionEndReason,
  options?: AssertEndedOptions
): Promise<void>
function assertEnded(
  response: InjectedResponse | FetchResponse | UndiciResponse,
  reason: SessionEndReason,
  options?: AssertEndedOptions
): Promise<void> | undefined {
  const { clearSiteData = true } = checkFields('options', orDefaultEmpty(options), ['clearSiteData'])
  return check(response, {
    title: `of a session that has ended (${reason})`,
    stackStartFn: assertEnded,
    facts: (seen) => endedFacts(seen, reason, clearSiteData)
  })
}

/**
 * Asserts that a response tells the client to try again, and ends no session: 503, the code
 * `FST_JWT_SESSION_STORE_UNAVAILABLE`, `Retry-After`, and neither `Clear-Site-Data` nor `Session-Ended`.
 *
 * @throws {AssertionError} with what the response has; the rest of its body is not shown
 */
function assertUnavailable(response: InjectedResponse): void
/** The same for a response of `fetch()` or undici, whose body is yet to come: the promise must be awaited. */
function assertUnavailable(response: FetchResponse | UndiciResponse): Promise<void>
function assertUnavailable(response: InjectedResponse | FetchResponse | UndiciResponse): Promise<void> | undefined {
  return check(response, {
    title: 'while the store is unavailable',
    stackStartFn: assertUnavailable,
    facts: unavailableFacts
  })
}

export { assertEnded, assertUnavailable }

/** A part of a response. */
interface Fact {
  name: string
  got: string | number | null
  /** The expected value, null: absent. A pattern if any value with the pattern will do. */
  wanted: string | number | null | RegExp
}

function endedFacts(seen: SeenResponse, reason: SessionEndReason, hasClearSiteData: boolean): Fact[] {
  const { statusCode, code, headers } = new SessionEndedError(reason)
  const hasSignal = reason !== 'logged_in_again'
  return [
    { name: 'status', got: seen.status, wanted: statusCode },
    { name: 'code', got: seen.code, wanted: code },
    { name: 'reason', got: seen.reason, wanted: reason },
    { name: 'session-ended', got: seen.header('session-ended'), wanted: hasSignal ? reason : null },
    {
      name: 'clear-site-data',
      got: seen.header('clear-site-data'),
      wanted: hasSignal && hasClearSiteData ? /^"/ : null
    },
    { name: 'www-authenticate', got: seen.header('www-authenticate'), wanted: headers['www-authenticate'] }
  ]
}

function unavailableFacts(seen: SeenResponse): Fact[] {
  const { statusCode, code } = new StoreUnavailableError()
  return [
    { name: 'status', got: seen.status, wanted: statusCode },
    { name: 'code', got: seen.code, wanted: code },
    { name: 'retry-after', got: seen.header('retry-after'), wanted: /^[1-9]\d*$/ },
    { name: 'session-ended', got: seen.header('session-ended'), wanted: null },
    { name: 'clear-site-data', got: seen.header('clear-site-data'), wanted: null }
  ]
}

interface Expectation {
  /** Completes "Expected the response …". */
  title: string
  // biome-ignore lint/complexity/noBannedTypes: the type of the option of AssertionError
  stackStartFn: Function
  facts(seen: SeenResponse): Fact[]
}

function check(
  response: InjectedResponse | FetchResponse | UndiciResponse,
  expectation: Expectation
): Promise<void> | undefined {
  if (!isInjected(response)) return readResponse(response).then((seen) => compare(seen, expectation))
  compare(readInjected(response), expectation)
}

/** @throws {AssertionError} */
function compare(seen: SeenResponse, { title, stackStartFn, facts }: Expectation): void {
  const all = facts(seen)
  const wrong = all.filter((fact) => !isRight(fact))
  if (wrong.length === 0) return
  const lines = wrong.map(({ name, got, wanted }) => `- ${name}: got ${got ?? 'none'}, expected ${textOf(wanted)}`)
  const seenByName = (isExpected: boolean) =>
    Object.fromEntries(all.map((fact) => [fact.name, isExpected && !isRight(fact) ? textOf(fact.wanted) : fact.got]))
  throw new AssertionError({
    message: `Expected the response ${title}:\n${lines.join('\n')}`,
    actual: seenByName(false),
    expected: seenByName(true),
    operator: stackStartFn.name,
    stackStartFn
  })
}

function isRight({ got, wanted }: Fact): boolean {
  return wanted instanceof RegExp ? wanted.test(`${got}`) : got === wanted
}

function textOf(wanted: Fact['wanted']): string {
  if (wanted instanceof RegExp) return `a value like ${wanted}`
  return `${wanted ?? 'none'}`
}
