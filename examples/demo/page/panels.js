import { create, element, setText } from './dom.js'
import { renderSessions } from './session-list.js'

// Rendering, without decisions.

const LOW_SECONDS = 20
const VIEWS = ['signed-out', 'loading', 'signed-in']
const STATES = { 'signed-out': 'Logged out', loading: 'Checking …', 'signed-in': 'Logged in', trouble: 'Cannot check' }

/** Shows a snapshot of the client, and the user's sessions. */
export function show(snapshot, sessions) {
  const { status, user } = snapshot
  for (const name of VIEWS) element(`view-${name}`).hidden = name !== status
  setText('user-name', user?.name ?? '')
  setText('user-email', user?.email ?? 'none')
  setText('user-id', user?.id ?? '')
  renderSessions(sessions)
  if (status === 'signed-out') element('notes').value = ''
  renderState(isTroubleShown() ? 'trouble' : status)
  renderCountdown(snapshot)
  renderSteps(status)
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
  const shown = element('banner-place').firstElementChild
  if (shown?.dataset.kind === kind && shown.lastElementChild.textContent === text) return
  const banner = create('div', 'banner', create('strong', '', title), create('p', '', text))
  banner.dataset.kind = kind
  element('banner-place').replaceChildren(banner)
  if (kind === 'trouble') renderState('trouble')
}

export function hideBanner() {
  if (isTroubleShown()) renderState('signed-in')
  element('banner-place').replaceChildren()
}

export function isTroubleShown() {
  return element('banner-place').firstElementChild?.dataset.kind === 'trouble'
}

export function renderCountdown({ idleExpiresAt, expiresAt }) {
  renderTimer('idle-left', idleExpiresAt)
  renderTimer('life-left', expiresAt)
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

/** Keys and values that the list shows, as JSON. */
let listed = ''

function storedItems() {
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

function shorten(value) {
  const text = value.replace(/[\w-]+\.[\w-]+\.[\w-]+/, (token) =>
    token.length > 60 ? `${token.slice(0, 10)}…${token.slice(-6)}` : token
  )
  return text.length > 300 ? `${text.slice(0, 300)}…` : text
}

/** Lists the stores. After an end strikes through what has been deleted, without the values: the page forgets those too. */
export function renderStored(status) {
  const items = storedItems()
  const next = JSON.stringify([items, status])
  if (next === listed) return
  listed = next
  const list = element('stored-list')
  const rows = items.map(createRow)
  const isStored = (row) => rows.some(({ dataset }) => dataset.key === row.dataset.key)
  const deleted = status === 'signed-out' ? [...list.children].filter((row) => !isStored(row)) : []
  for (const row of deleted) {
    row.className = 'deleted'
    row.querySelector('.value').textContent = 'deleted'
  }
  setText(
    'stored-rest',
    items.length === 0 ? 'Empty.' : status === 'signed-out' ? 'What is left says why the session has ended.' : ''
  )
  list.replaceChildren(...deleted, ...rows)
}

function createRow([store, key, value]) {
  const row = create('li', '', create('code', 'key', key), create('span', 'store', store))
  row.append(create('span', 'value', shorten(value)))
  row.dataset.key = `${store} ${key}`
  return row
}

// Steps

export function renderSteps(status) {
  const current = status === 'signed-in' ? (element('notes').value === '' ? 1 : 2) : 0
  for (const [index, step] of [...element('steps').children].entries()) {
    step.ariaCurrent = index === current ? 'step' : null
  }
}
