import { create, element } from './dom.js'

// The list of calls.

const CALLS_SHOWN = 15
const SHOWN_HEADERS = ['WWW-Authenticate', 'Session-Ended', 'Retry-After']

/**
 * Lists all calls of the page, those of the client included, and the events of the stream. For this list alone the page
 * replaces `fetch`: a client of an application needs no such thing.
 *
 * @param onAnswer called with each `{ status }`, 0 without an answer
 */
export function showCalls(onAnswer) {
  const { fetch } = globalThis
  globalThis.fetch = async (input, init) => {
    const call = { method: init?.method ?? 'GET', path: new URL(input, location).pathname }
    try {
      const response = await fetch(input, init)
      await logAnswer(call, response)
      onAnswer(response)
      return response
    } catch (error) {
      // An aborted call: the session has ended.
      if (error.name !== 'AbortError') {
        logCall({ ...call, status: 'no response', code: '', headers: [] })
        onAnswer({ status: 0 })
      }
      throw error
    }
  }
}

async function logAnswer(call, response) {
  const { status } = response
  const headers = SHOWN_HEADERS.flatMap((name) => {
    const value = response.headers.get(name)
    return value === null ? [] : [[name, value]]
  })
  const isStream = response.headers.get('Content-Type') === 'text/event-stream'
  const answer =
    isStream || status < 400
      ? null
      : await response
          .clone()
          .json()
          .catch(() => null)
  logCall({ ...call, status, code: answer?.code ?? '', headers })
  if (isStream) logEvents(response.clone().body.pipeThrough(new TextDecoderStream()).getReader())
}

/** The server writes an event in one piece. */
async function logEvents(reader) {
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      for (const [, name, data] of read.value.matchAll(/^event: (.*)\ndata: (.*)/gm)) {
        const headers = Object.entries(JSON.parse(data)).map(([key, value]) => [key, String(value)])
        logCall({ method: 'event', path: name, status: '', code: '', headers })
      }
    }
  } catch {
    // The end of the stream, or of the session.
  }
}

/** Adds a call at the top. A repeated call with the same response only raises the count. */
function logCall(call) {
  const path = call.path.replace(/[\w-]{38}$/, (sessionId) => `${sessionId.slice(0, 6)}…`)
  const same = JSON.stringify({ ...call, path })
  const calls = element('calls')
  const last = calls.firstElementChild
  const count = last?.dataset.call === same ? Number(last.dataset.count) + 1 : 1
  if (count > 1) last.remove()

  const row = renderCall({ ...call, path }, count)
  row.dataset.call = same
  row.dataset.count = count
  calls.prepend(row)
  if (calls.childElementCount > CALLS_SHOWN) calls.lastElementChild.remove()
  element('calls-none').hidden = true
}

function renderCall(call, count) {
  const { method, path, status, code, headers } = call
  const line = create('p', 'line', create('code', '', `${method} ${path}`))
  if (status) line.prepend(create('span', 'status', String(status)))
  if (count > 1) line.append(create('span', 'count', `× ${count}`))
  line.append(create('time', 'quiet', new Date().toLocaleTimeString()))

  const row = create('li', 'call', line)
  if (code) row.append(create('p', 'code', code))
  for (const [name, value] of headers) {
    row.append(create('p', 'header', create('span', 'name', `${name}: `), value))
  }
  row.dataset.kind = kindOf(call)
  return row
}

function kindOf({ method, path, status, headers }) {
  if (headers.some(([name]) => name === 'Session-Ended') || (method === 'event' && path === 'ended')) return 'ended'
  if (status === 'no response' || status >= 500) return 'trouble'
  return status >= 400 ? 'rejected' : 'good'
}
