import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { parseJson } from '../internal/json.js'
import { checkFields, orDefaultEmpty } from '../options/checks.js'
import { checkUpstreamPath } from '../options/resolve-upstream.js'
import type { FakeAnswer, FakeUpstreamCall, FakeUpstreamPaths } from './fake-upstream-types.js'

type Answer = (call: FakeUpstreamCall, signal: AbortSignal) => Promise<FakeAnswer>

/** The fake upstream over HTTP. */
export class FakeUpstreamServer {
  readonly #answer: Answer
  #server: Server | undefined
  #baseUrl: Promise<string> | undefined

  constructor(answer: Answer) {
    this.#answer = answer
  }

  async listen(paths?: FakeUpstreamPaths): Promise<string> {
    const operations = operationsOf(checkFields('paths', orDefaultEmpty(paths), PATHS))
    this.#baseUrl ??= this.#open(operations)
    return this.#baseUrl
  }

  async close(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    this.#baseUrl = undefined
    if (server === undefined) return
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
  }

  async #open(operations: Map<string, FakeUpstreamCall['operation']>): Promise<string> {
    const server = createServer((request, response) => void this.#serve(operations, request, response))
    this.#server = server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    // A server that a test forgets must not keep the process alive.
    server.unref()
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  /** Never rejects: a client that goes away needs no answer. */
  async #serve(
    operations: Map<string, FakeUpstreamCall['operation']>,
    request: IncomingMessage,
    response: ServerResponse
  ): Promise<void> {
    const closed = new AbortController()
    response.on('close', () => closed.abort())
    try {
      const { headers, method, url = '' } = request
      const sent = await text(request)
      const operation = method === 'POST' ? operations.get(pathOf(url)) : undefined
      const call = operation && { operation, body: parseBody(sent, headers['content-type']), headers }
      const { statusCode, user } = call ? await this.#answer(call, closed.signal) : { statusCode: 404 }
      const body = user === undefined ? undefined : JSON.stringify({ user })
      response.writeHead(statusCode, body === undefined ? {} : { 'content-type': 'application/json' }).end(body)
    } catch {
      response.destroy()
    }
  }
}

const PATHS: (keyof FakeUpstreamPaths)[] = ['loginPath', 'registerPath', 'logoutPath']

/** @throws {InvalidOptionError} */
function operationsOf(paths: FakeUpstreamPaths): Map<string, FakeUpstreamCall['operation']> {
  const checkPath = (name: keyof FakeUpstreamPaths, byDefault: string) =>
    pathOf(checkUpstreamPath(`paths.${name}`, paths[name], byDefault))
  return new Map<string, FakeUpstreamCall['operation']>([
    [checkPath('loginPath', '/user/login'), 'login'],
    [checkPath('registerPath', '/user/register'), 'register'],
    [checkPath('logoutPath', '/user/logout'), 'logout']
  ])
}

/** The path without the query, which the options of the plugin may have. */
function pathOf(path: string): string {
  return path.replace(/\?.*$/, '')
}

function parseBody(text: string, contentType = ''): unknown {
  return contentType.startsWith('application/x-www-form-urlencoded')
    ? Object.fromEntries(new URLSearchParams(text))
    : parseJson(text)
}
