import { AssertionError } from 'node:assert'
import { isPlainObject, parseJson } from '../internal/json.js'

/** A response of `app.inject()`. */
export interface InjectedResponse {
  statusCode: number
  headers: object
  body: string
}

/** A response of `fetch()`, in Node, undici and browsers. An assertion reads a copy of the body. */
export interface FetchResponse {
  status: number
  headers: { get(name: string): string | null }
  bodyUsed: boolean
  clone(): { text(): Promise<string> }
}

/** A response of `request()` of undici. An assertion consumes the body. */
export interface UndiciResponse {
  statusCode: number
  headers: object
  body: { bodyUsed: boolean; text(): Promise<string> }
}

/** What an assertion compares. Null: not in the response. Other parts of a body are never shown. */
export interface SeenResponse {
  status: number
  code: string | null
  reason: string | null
  header(name: string): string | null
}

/** Whether the whole body is there already. */
export function isInjected(response: InjectedResponse | FetchResponse | UndiciResponse): response is InjectedResponse {
  return isObject(response) && 'body' in response && typeof response.body === 'string'
}

/** Reads a response of `app.inject()`. */
export function readInjected({ statusCode, headers, body }: InjectedResponse): SeenResponse {
  return { status: statusCode, ...fieldsOf(body), header: (name) => headerOf(headers, name) }
}

/** Reads a response with its body. @throws {AssertionError} not a response, or the body was read before */
export async function readResponse(response: FetchResponse | UndiciResponse): Promise<SeenResponse> {
  if (isObject(response) && 'clone' in response && typeof response.clone === 'function') {
    const { status, headers } = response
    assertUnread(response)
    return { status, ...fieldsOf(await response.clone().text()), header: (name) => headers.get(name) }
  }
  if (isObject(response) && 'statusCode' in response && typeof response.body?.text === 'function') {
    const { statusCode, headers, body } = response
    assertUnread(body)
    return { status: statusCode, ...fieldsOf(await body.text()), header: (name) => headerOf(headers, name) }
  }
  const message = 'Expected a response of app.inject(), of fetch(), or of request() of undici'
  throw new AssertionError({ message, actual: typeof response })
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function assertUnread({ bodyUsed }: { bodyUsed: boolean }): void {
  if (!bodyUsed) return
  throw new AssertionError({ message: 'The body of the response was read before: assert first, or read a clone()' })
}

/** @param headers by name in lower case */
function headerOf(headers: object, name: string): string | null {
  const value: unknown = Reflect.get(headers, name)
  return value === undefined ? null : String(value)
}

function fieldsOf(body: string): { code: string | null; reason: string | null } {
  const json = parseJson(body)
  const { code, reason } = isPlainObject(json) ? json : {}
  return { code: typeof code === 'string' ? code : null, reason: typeof reason === 'string' ? reason : null }
}
