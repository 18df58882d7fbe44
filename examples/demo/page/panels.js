import { create, element, say } from './dom.js'
import { renderSessions } from './session-list.js'

// What the page shows. Nothing here decides anything.

const CALLS_SHOWN = 15
const LOW_SECONDS = 20
const SHOWN_HEADERS = ['WWW-Authenticate', 'Session-Ended', 'Clear-Site-Data', 'Retry-After']
const VIEWS = ['out', 'checking', 'in']
const STATES = { out: 'Logged out', checking: 'Checking …', in: 'Logged in', trouble: 'Cannot check' }

/** Shows one of the three views; `session` is null in the view `out`. */
export function show(view, session) {
  for (const name of VIEWS) element(`view-${name}`).hidden = name !== view
  const { user } = session ?? {}
  say('user-name', user?.name ?? '')
  say('user-email', user?.email ?? 'none')
  say('user-id', user?.id ?? '')
  renderSessions(session?.sessions ?? [])
  if (view === 'out') element('notes').value = ''
  renderState(view)
  renderCountdown(session)
  renderSteps(view)
}

function renderState(state) {
  element('state').dataset.state = state
  say('state', STATES[state])
}

export function renderMode() {
  const { mode, password } = document.forms.namedItem('account').elements
  const registering = mode.value === 'register'
  for (const part of document.querySelectorAll('[data-only=register]')) part.hidden = !registering
  password.autocomplete = registering ? 'new-password' : 'current-password'
  password.minLength = registering ? 8 : 0
  say('submit', registering ? 'Create the account' : 'Log in')
}

/** `kind` is `ended`, `goodbye` or `trouble`. */
export function showBanner(kind, title, text) {
  if (kind === 'trouble') renderState('trouble')
  const shown = element('banner-place').firstElementChild
  if (shown?.dataset.kind === kind && shown.firstElementChild.textContent === title) return
  const banner = create('div', 'banner', create('strong', '', title), create('p', '', text))
  banner.dataset.kind = kind
  element('banner-place').replaceChildren(banner)
}

export function hideBanner() {
  element('banner-place').replaceChildren()
}

export function renderCountdown(session) {
  renderTimer('idle-left', session?.idleEndsAt)
  renderTimer('life-left', session?.endsAt)
}

function renderTimer(id, endsAt) {
  if (!endsAt) return say(id, '…')
  const seconds = Math.max(0, Math.ceil((endsAt - Date.now()) / 1_000))
  const parts = [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60, seconds % 60]
  say(
    id,
    parts
      .map((part) => String(part).padStart(2, '0'))
      .join(':')
      .replace(/^00:/, '')
  )
  element(id).dataset.low = seconds <= LOW_SECONDS
}

// What this browser keeps

export function keptItems() {
  const stores = [
    ['localStorage', localStorage],
    ['sessionStorage', sessionStorage]
  ]
  return stores.flatMap(([name, store]) =>
    Object.keys(store)
      .sort()
      .map((key) => [name, key, store.getItem(key)])
  )
}

function shorten(key, value) {
  if (key === 'access_token') return `${value.slice(0, 10)}…${value.slice(-6)} (${value.length} characters)`
  return value.length > 120 ? `${value.slice(0, 120)}…` : value
}

export function renderKept() {
  const rows = keptItems().map(([store, key, value]) => {
    const row = create('li', '', create('code', 'key', key), create('span', 'store', store))
    row.append(create('span', 'value', shorten(key, value)))
    return row
  })
  element('kept-nothing').hidden = rows.length > 0
  element('kept-list').replaceChildren(...rows)
}

/** Strikes through what was there. The keys alone: the values are gone from the stores, and so from the page. */
export function renderDeleted() {
  for (const row of element('kept-list').children) {
    row.className = 'deleted'
    row.querySelector('.value').textContent = 'deleted'
  }
  element('kept-nothing').hidden = false
}

// The calls

/** Adds a call on top; the same call with the same answer as the one before is counted, not repeated. */
export function logCall(method, path, response, answer) {
  const headers = SHOWN_HEADERS.flatMap((name) => {
    const value = response?.headers.get(name) ?? null
    return value === null ? [] : [[name, value]]
  })
  // Chromium obeys this header and takes it away before a script can read the answer.
  const hides =
    headers.some(([name]) => name === 'Session-Ended') && !headers.some(([name]) => name === 'Clear-Site-Data')
  if (hides) headers.push(['Clear-Site-Data', 'obeyed by the browser, which does not show it to scripts'])

  const shownPath = path.replace(/[\w-]{38}$/, (sessionId) => `${sessionId.slice(0, 6)}…`)
  const call = { method, path: shownPath, status: response?.status ?? 'no answer', code: answer?.code ?? '', headers }
  const same = JSON.stringify(call)
  const calls = element('calls')
  const last = calls.firstElementChild
  const count = last?.dataset.call === same ? Number(last.dataset.count) + 1 : 1
  if (count > 1) last.remove()

  const row = renderCall(call, count)
  row.dataset.call = same
  row.dataset.count = count
  calls.prepend(row)
  if (calls.childElementCount > CALLS_SHOWN) calls.lastElementChild.remove()
  element('calls-none').hidden = true
}

function renderCall({ method, path, status, code, headers }, count) {
  const line = create('p', 'line', create('span', 'status', String(status)), create('code', '', `${method} ${path}`))
  if (count > 1) line.append(create('span', 'count', `× ${count}`))
  line.append(create('time', 'quiet', new Date().toLocaleTimeString()))

  const row = create('li', 'call', line)
  if (code) row.append(create('p', 'code', code))
  for (const [name, value] of headers) {
    row.append(create('p', 'header', create('span', 'name', `${name}: `), value))
  }
  row.dataset.kind = kindOf(status, headers)
  return row
}

function kindOf(status, headers) {
  if (headers.some(([name]) => name === 'Session-Ended')) return 'ended'
  if (status === 'no answer' || status >= 500) return 'trouble'
  return status >= 400 ? 'refused' : 'good'
}

// The three steps on top

export function renderSteps(view) {
  const current = view === 'in' ? (element('notes').value === '' ? 1 : 2) : 0
  for (const [index, step] of [...element('steps').children].entries()) {
    step.ariaCurrent = index === current ? 'step' : null
  }
}
