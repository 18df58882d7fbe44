import type { IncomingHttpHeaders } from 'node:http'
import type { UpstreamOperation } from '../upstream/upstream-client.js'

/** A user of the fake upstream: fields of a login or registration, and the fields of the user that the app gets. */
export interface FakeUser {
  /** Never part of an answer. */
  password: string
  username?: string | undefined
  /** Default: `username`, else `email`. */
  id?: string | number | undefined
  [field: string]: unknown
}

/** A call of the fake upstream. */
export interface FakeUpstreamCall {
  operation: Exclude<UpstreamOperation, 'refresh'>
  /** The body, with the password: of a logout `{ user }`. */
  body: unknown
  /** Over HTTP: of the request to the upstream; else of the client's request. */
  headers: IncomingHttpHeaders
}

/** Options of `listen()`, with the names of the options of the plugin. */
export interface FakeUpstreamPaths {
  /** Default: `/user/login`. */
  loginPath?: string | undefined
  /** Default: `/user/register`. */
  registerPath?: string | undefined
  /** Default: `/user/logout`. */
  logoutPath?: string | undefined
}

/** An answer of the upstream. */
export interface FakeAnswer {
  statusCode: number
  /** Without the password. Undefined unless a login or registration succeeded. */
  user?: object | undefined
}
