import { showCalls } from './call-log.js'
import { createSessionClient } from './client/index.js' // with a bundler: 'fastify-jwt-session/client'
import { element, setText } from './dom.js'
import { endMessage, failureMessage } from './messages.js'
import {
  hideBanner,
  isTroubleShown,
  renderCountdown,
  renderMode,
  renderSteps,
  renderStored,
  show,
  showBanner
} from './panels.js'

// The client does all that a session needs; the rest is buttons.

const NOTES = 'private_notes' // in localStorage, as an app stores your data
const EXAMPLE = { username: 'ada', password: 'countess of lovelace', email: 'ada@example.com' }

const session = createSessionClient()

/** What GET /user/sessions has answered: data of the user, forgotten at the end. */
let sessions = []
session.onEnd(() => {
  sessions = []
})

// Before the first call.
showCalls(({ status }) => {
  if (status === 0 || status >= 500) showTrouble(status)
  else if (isTroubleShown()) hideBanner()
})

let shown = session.getSnapshot()

/** Shows the new snapshot. The client calls it after a login, a change and an end, in this page or anywhere else. */
function followSession() {
  const previous = shown
  shown = session.getSnapshot()
  render()
  if (shown.status === 'signed-out') showEnd(previous)
  else if (shown.status === 'signed-in' && shown.user !== previous.user) {
    hideBanner()
    loadPrivatePage()
  }
}

function render() {
  if (shown.status === 'signed-in') element('notes').value = localStorage.getItem(NOTES) ?? ''
  show(shown, sessions)
  renderStored(shown.status)
}

function showEnd(previous) {
  const { reason } = shown
  if (!reason) return
  const kind = reason === 'logged_out' ? 'goodbye' : 'ended'
  const deleted = 'This page and all others of the browser have deleted everything stored here.'
  showBanner(kind, 'Your session has ended', `${endMessage(reason)} ${deleted}`)
  if (previous.status === 'signed-in') element('banner-place').focus()
}

function showTrouble(status) {
  if (shown.status !== 'signed-in') return
  const title = status === 0 ? 'The server cannot be reached' : 'The server cannot answer right now'
  showBanner('trouble', title, 'Your data stays and you stay logged in. The page keeps trying.')
}

/** Calls the server with the session. @returns the status, 0 without an answer, and the body */
async function callApi(method, path) {
  try {
    const response = await session.fetch(path, { method })
    return { status: response.status, body: await response.json().catch(() => null) }
  } catch {
    return { status: 0, body: null }
  }
}

/** Loads the guarded data. The calls are activity and extend the idle expiry: never call from a timer. */
async function loadPrivatePage() {
  await callApi('GET', '/me')
  const { status, body } = await callApi('GET', '/user/sessions')
  if (status !== 200) return
  sessions = body
  render()
}

// Buttons

const account = document.forms.namedItem('account')

async function logIn(username, password) {
  const status = await session.login({ username, password }).then(
    (response) => response.status,
    () => 0
  )
  if (status !== 200) {
    return setText('form-message', status === 401 ? 'Wrong user name or password.' : failureMessage(status))
  }
  account.reset()
  element('in-title').focus()
}

async function register(registration) {
  const headers = { 'Content-Type': 'application/json' }
  const status = await fetch('/user/register', { method: 'POST', headers, body: JSON.stringify(registration) }).then(
    (response) => response.status,
    () => 0
  )
  return status
}

function offerLogin(message) {
  account.elements.mode.value = 'login'
  renderMode()
  setText('form-message', message)
  element('submit').focus()
}

account.addEventListener('submit', async (event) => {
  event.preventDefault()
  const { mode, username, password, email } = Object.fromEntries(new FormData(account))
  await busy(element('submit'), async () => {
    if (mode === 'login') return logIn(username, password)
    const status = await register({ username, password, ...(email && { email }) })
    if (status !== 201) return setText('form-message', failureMessage(status))
    offerLogin('The account has been created. No session is open yet: log in.')
  })
})

account.addEventListener('change', ({ target }) => {
  if (target.name === 'mode') setText('form-message', '')
  renderMode()
})

onClick('example', async () => {
  const status = await register(EXAMPLE)
  if (status !== 201 && status !== 409) return setText('form-message', failureMessage(status))
  account.elements.username.value = EXAMPLE.username
  account.elements.password.value = EXAMPLE.password
  offerLogin('The account exists. No session is open yet: log in.')
})

onClick('stay', async () => {
  const isExtended = await session.extend().then(
    ({ ok }) => ok,
    () => false
  )
  if (!isExtended) setText('private-message', 'Not extended: try again.')
})

onClick('log-out', async () => {
  // Here the session has ended already.
  if (!(await session.logout())) {
    setText('form-message', 'The server does not know yet: the browser tells it as soon as it can be reached.')
  }
})

/** Breaks the signature of the token that the client stores, as a faulty program could. */
onClick('damage', async () => {
  const record = JSON.parse(localStorage.getItem('fastify-jwt-session:session'))
  const [header, payload, signature] = record.token.split('.')
  const damaged = (signature[0] === 'A' ? 'B' : 'A') + signature.slice(1)
  const token = [header, payload, damaged].join('.')
  localStorage.setItem('fastify-jwt-session:session', JSON.stringify({ ...record, token }))
  await callApi('GET', '/me')
})

onClick('end-others', () => endOthers('/user/sessions'))

element('sessions').addEventListener('click', ({ target }) => {
  const button = target.closest('button')
  if (button) busy(button, () => endOthers(`/user/sessions/${button.dataset.id}`))
})

async function endOthers(path) {
  const { status } = await callApi('DELETE', path)
  // 404: the session has already ended.
  if (status !== 204 && status !== 404) return
  await loadPrivatePage()
  if (shown.status !== 'signed-in') return
  setText('sessions-message', 'Ended. Every open page of the session shows the login by now.')
  element('sessions-title').focus()
}

element('notes').addEventListener('input', ({ target }) => {
  localStorage.setItem(NOTES, target.value)
  if (target.value === '') localStorage.removeItem(NOTES)
  renderStored(shown.status)
  renderSteps(shown.status)
})

function onClick(id, action) {
  element(id).addEventListener('click', ({ currentTarget }) => busy(currentTarget, action))
}

/** Ignores clicks while an action is pending. With aria-disabled: a disabled button would lose the keyboard focus. */
async function busy(button, action) {
  if (button.ariaDisabled === 'true') return
  button.ariaDisabled = 'true'
  setText('form-message', '')
  setText('private-message', '')
  setText('sessions-message', '')
  await action().finally(() => {
    button.ariaDisabled = null
  })
}

// Start

/** Shows the time that is left, and what the browser has stored. Calls nothing. */
function tick() {
  renderCountdown(shown)
  renderStored(shown.status)
}

setInterval(tick, 500)
addEventListener('focus', () => shown.status === 'signed-in' && loadPrivatePage())
session.subscribe(followSession)

renderMode()
render()
if (shown.status === 'signed-out') showEnd(shown)
if (shown.status === 'signed-in') loadPrivatePage()
