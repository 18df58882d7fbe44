import { create, element, setText } from './dom.js'
import { renderSessions } from './session-list.js'

// Rendering, without decisions.

const CALLS_SHOWN = 15
const LOW_SECONDS = 20
const SHOWN_HEADERS = ['WWW-Authenticate', 'Session-Ended', 'Clear-Site-Data', 'Retry-After']
const VIEWS = ['out', 'checking', 'in']
const STATES = { out: 'Logged out', checking: 'Checking …', in: 'Logged in', trouble: 'Cannot check' }

/** Shows a view; `session` is null in the view `out`. */
export function show(view, session) {
  for (const name of VIEWS) element(`view-${name}`).hidden = name !== view
  const { user } = session ?? {}
  setText('user-name', user?.name ?? '')
  setText('user-email', user?.email ?? 'none')
  setText('user-id', user?.id ?? '')
  renderSessions(session?.sessions ?? [])
  if (view === 'out') element('notes').value = ''
  renderState(view)
  renderCountdown(session)
  renderSteps(view)
}

function renderState(state) {
  element('state').dataset.state = state
  setText('state', STATES[state])
}

export function renderMode() {
  const { mode, password } = document.forms.namedItem('account').elements
  const registering = mode.value === 'register'
  for (const part of document.querySelectorAll('[data-only=register]')) part.hidden = !registering
  password.autocomplete = registering ? 'new-password' : 'current-password'
  password.minLength = registering ? 8 : 0
  setText('submit', registering ? 'Create the account' : 'Log in')
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
  if (!endsAt) return setText(id, '…')
  const seconds = Math.max(0, Math.ceil((endsAt - Date.now()) / 1_000))
  const parts = [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60, seconds % 60]
  setText(
    id,
    parts
      .map((part) => String(part).padStart(2, '0'))
      .join(':')
      .replace(/^00:/, '')
  )
  element(id).dataset.low = seconds <= LOW_SECONDS
}

// Data stored in the browser

export function storedItems() {
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

export function renderStored() {
  const rows = storedItems().map(([store, key, value]) => {
    const row = create('li', '', create('code', 'key', key), create('span', 'store', store))
    row.append(create('span', 'value', shorten(key, value)))
    return row
  })
  element('stored-nothing').hidden = rows.length > 0
  element('stored-list').replaceChildren(...rows)
}

/** Strikes through the deleted keys. The page forgets the values too. */
export function renderDeleted() {
  for (const row of element('stored-list').children) {
    row.className = 'deleted'
    row.querySelector('.value').textContent = 'deleted'
  }
  element('stored-nothing').hidden = false
}

// Calls

/** Adds a call at the top. A repeated call with the same response only raises the count. */
export function logCall(method, path, response, answer) {
  const headers = SHOWN_HEADERS.flatMap((name) => {
    const value = response?.headers.get(name) ?? null
    return value === null ? [] : [[name, value]]
  })
  // Chromium acts on `Clear-Site-Data` and hides the header from scripts.
  const hides =
    headers.some(([name]) => name === 'Session-Ended') && !headers.some(([name]) => name === 'Clear-Site-Data')
  if (hides) headers.push(['Clear-Site-Data', 'applied by the browser, and hidden from scripts'])

  const shownPath = path.replace(/[\w-]{38}$/, (sessionId) => `${sessionId.slice(0, 6)}…`)
  const call = { method, path: shownPath, status: response?.status ?? 'no response', code: answer?.code ?? '', headers }
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
  if (status === 'no response' || status >= 500) return 'trouble'
  return status >= 400 ? 'rejected' : 'good'
}

// Steps

export function renderSteps(view) {
  const current = view === 'in' ? (element('notes').value === '' ? 1 : 2) : 0
  for (const [index, step] of [...element('steps').children].entries()) {
    step.ariaCurrent = index === current ? 'step' : null
  }
}
