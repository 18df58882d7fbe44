import type { FakeBrowser } from './fake-browser.js'

/** A session of the server. */
export interface FakeSession {
  token: string
  user: { id: string; name?: string }
  /** Epoch milliseconds by the server's clock. */
  expiresAt: number
  idleExpiresAt: number | null
  ended?: string
}

/** A request, as the server has got it. */
export interface FakeRequest {
  route: string
  token: string | undefined
  body: string | undefined
  headers: Headers
  init: RequestInit
}

interface Stream {
  browser: FakeBrowser
  session: FakeSession
  controller: ReadableStreamDefaultController<Uint8Array>
}

type Answer = Response | Promise<Response>

/** The routes of the plugin, as BROWSER.md has them, with the clock of the test. */
export class FakeServer {
  transport: 'bearer' | 'cookie' = 'bearer'
  /** Milliseconds from the page's clock to the server's clock. */
  skewMs = 0
  hasDate = true
  idleMs: number | null = 1_800_000
  readonly requests: FakeRequest[] = []
  readonly sessions = new Map<string, FakeSession>()
  readonly streams = new Set<Stream>()
  /** Answers of a route in the place of the server's own; undefined: the server's own. */
  readonly answers = new Map<string, (request: FakeRequest) => Answer | undefined>()
  #opened = 0

  get now(): number {
    return Date.now() + this.skewMs
  }

  /** The routes of all requests, such as `POST /user/login`. */
  get routes(): string[] {
    return this.requests.map(({ route }) => route)
  }

  async fetch(browser: FakeBrowser, url: string, init: RequestInit): Promise<Response> {
    await Promise.resolve()
    init.signal?.throwIfAborted()
    if (browser.isOffline) throw new TypeError('Failed to fetch')
    const headers = new Headers(init.headers)
    const bearer = headers.get('authorization')?.replace('Bearer ', '')
    const token = bearer ?? (init.credentials === 'include' ? browser.cookie : undefined)
    const route = `${init.method ?? 'GET'} ${new URL(url).pathname}`
    const request = { route, token, body: init.body?.toString(), headers, init }
    this.requests.push(request)
    const answer = await abortable(init.signal, this.answers.get(route)?.(request) ?? this.#answer(browser, request))
    // The browser stores cookies of an answer that the page has not aborted.
    const cookie = answer.headers.get('x-set-cookie')
    if (cookie !== null) browser.cookie = cookie || undefined
    return answer
  }

  /** Opens a session as a login does. */
  open(id: string, ttlSeconds = 43_200): FakeSession {
    const token = `token-${++this.#opened}`
    const expiresAt = this.now + ttlSeconds * 1_000
    const idleExpiresAt = this.idleMs === null ? null : this.now + this.idleMs
    const session = { token, user: { id, name: `name of ${id}` }, expiresAt, idleExpiresAt }
    this.sessions.set(token, session)
    return session
  }

  /** Ends a session, and tells its streams. */
  end(session: FakeSession, reason: string): void {
    session.ended = reason
    for (const stream of this.#streamsOf(session)) {
      this.#write(stream, `event: ended\ndata: {"reason":"${reason}"}\n\n`)
      this.#close(stream)
    }
  }

  /** Activity of another client. */
  extend(session: FakeSession, ms: number): void {
    if (session.idleExpiresAt !== null) session.idleExpiresAt += ms
    for (const stream of this.#streamsOf(session)) this.#write(stream, eventOf(session))
  }

  /** A heartbeat of all streams. */
  beat(): void {
    for (const stream of this.streams) this.#write(stream, ':\n\n')
  }

  /** Closes all streams, as a server does that restarts. */
  restart(): void {
    for (const stream of [...this.streams]) this.#close(stream)
  }

  /** The network of the browser is gone. */
  cut(browser: FakeBrowser): void {
    for (const stream of [...this.streams].filter((stream) => stream.browser === browser)) {
      this.streams.delete(stream)
      stream.controller.error(new TypeError('network error'))
    }
  }

  json(status: number, body: object, headers: Record<string, string> = {}): Response {
    const date: Record<string, string> = this.hasDate ? { date: new Date(this.now).toUTCString() } : {}
    return new Response(JSON.stringify(body), {
      status,
      headers: { 'content-type': 'application/json', ...date, ...headers }
    })
  }

  /** 401 for the session, with the clear signal as the server has it. */
  ended(reason: string): Response {
    const signal: Record<string, string> = reason === 'logged_in_again' ? {} : { 'session-ended': reason }
    return this.json(401, { statusCode: 401, code: 'FST_JWT_SESSION_ENDED', reason }, signal)
  }

  #answer(browser: FakeBrowser, request: FakeRequest): Response {
    const { route, token } = request
    if (route === 'POST /user/login') return this.#login(request)
    const session = this.sessions.get(token ?? '')
    if (route === 'POST /user/logout') return this.#logout(session)
    if (token === undefined) return this.json(401, { code: 'FST_JWT_SESSION_MISSING' })
    if (session === undefined) return this.ended('unknown')
    this.#expire(session)
    if (session.ended !== undefined) return this.ended(session.ended)
    if (route === 'POST /user/session') session.idleExpiresAt = this.idleMs && this.now + this.idleMs
    if (route.endsWith(' /user/session')) return this.json(200, { user: session.user, ...timesOf(session) })
    if (route === 'GET /user/session/events') return this.#stream(browser, session, request)
    return this.json(200, { route })
  }

  #login({ body, token }: FakeRequest): Response {
    const { username, password } = JSON.parse(body ?? '{}')
    if (password !== 'right') return this.json(401, { code: 'FST_JWT_SESSION_CREDENTIALS_REJECTED' })
    const previous = this.sessions.get(token ?? '')
    const session = this.open(username)
    if (previous !== undefined) this.end(previous, 'logged_in_again')
    const common = { expires_in: 43_200, user: session.user }
    if (this.transport === 'bearer')
      return this.json(200, { access_token: session.token, token_type: 'Bearer', ...common })
    return this.json(200, { token_type: 'Cookie', ...common }, { 'x-set-cookie': session.token })
  }

  #logout(session: FakeSession | undefined): Response {
    if (session !== undefined) this.end(session, 'logged_out')
    const headers = { 'session-ended': 'logged_out', ...(this.transport === 'cookie' && { 'x-set-cookie': '' }) }
    return new Response(null, { status: 204, headers })
  }

  #expire(session: FakeSession): void {
    if (this.now >= Math.min(session.expiresAt, session.idleExpiresAt ?? session.expiresAt)) session.ended ??= 'expired'
  }

  #stream(browser: FakeBrowser, session: FakeSession, { init }: FakeRequest): Response {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        const stream = { browser, session, controller }
        this.streams.add(stream)
        this.#write(stream, `retry: 1000\n${eventOf(session)}`)
        init.signal?.addEventListener('abort', () => {
          if (this.streams.delete(stream)) controller.error(init.signal?.reason)
        })
      }
    })
    const { headers } = this.json(200, {})
    headers.set('content-type', 'text/event-stream')
    return new Response(body, { headers })
  }

  #streamsOf(session: FakeSession): Stream[] {
    return [...this.streams].filter((stream) => stream.session === session)
  }

  #write({ controller }: Stream, text: string): void {
    controller.enqueue(new TextEncoder().encode(text))
  }

  #close(stream: Stream): void {
    if (this.streams.delete(stream)) stream.controller.close()
  }
}

function timesOf({ expiresAt, idleExpiresAt }: FakeSession) {
  const iso = (time: number) => new Date(time).toISOString()
  return { expires_at: iso(expiresAt), idle_expires_at: idleExpiresAt === null ? null : iso(idleExpiresAt) }
}

function eventOf(session: FakeSession): string {
  return `event: session\ndata: ${JSON.stringify(timesOf(session))}\n\n`
}

/** Rejects as soon as the signal aborts, as `fetch` does. */
function abortable(signal: AbortSignal | null | undefined, answer: Answer): Promise<Response> {
  return new Promise((resolve, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason))
    Promise.resolve(answer).then(resolve, reject)
  })
}
