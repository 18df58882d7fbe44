import { element, setText } from './dom.js'
import { endMessage, failureMessage } from './messages.js'
import {
  hideBanner,
  logCall,
  renderCountdown,
  renderDeleted,
  renderMode,
  renderSteps,
  renderStored,
  show,
  showBanner,
  storedItems
} from './panels.js'

// callApi() and endSession() show how a client should react to the end of a session; the rest is buttons.

const TOKEN = 'access_token' // in localStorage, with the notes
const NOTES = 'private_notes'
const USER = 'user' // in sessionStorage: a reloaded page shows the name before the server has responded
const CHECK_EVERY_MS = 3_000
const EXAMPLE = { username: 'ada', password: 'countess of lovelace', email: 'ada@example.com' }

/** The current login: `{ token, user, sessions, endsAt, idleEndsAt }`, everything but the token optional. */
let session = null
let pendingCalls = 0
let calledAt = 0

/**
 * Makes every call of the page. Only the clear signal, a `Session-Ended` header, ends the session in the browser. Never
 * a 401, a 503, a lost connection or a clock: an outage must not delete the user's data.
 */
async function callApi(method, path, body) {
  const sessionAtStart = session
  const headers = {}
  if (sessionAtStart) headers.Authorization = `Bearer ${sessionAtStart.token}`
  if (body) headers['Content-Type'] = 'application/json'

  let response
  pendingCalls++
  try {
    const signal = AbortSignal.timeout(10_000)
    response = await fetch(path, { method, headers, body: body && JSON.stringify(body), signal })
  } catch {
    logCall(method, path, null, null)
    return { status: 0, body: null }
  } finally {
    pendingCalls--
    calledAt = Date.now()
  }

  const answer = await response.json().catch(() => null)
  logCall(method, path, response, answer)
  const reason = response.headers.get('Session-Ended')
  // The response belongs to the session of the request: after another login, ignore the signal.
  if (reason !== null && sessionAtStart !== null && sessionAtStart === session) endSession(reason)
  return { status: response.status, body: answer }
}

/** Deletes all stored data, then shows the reason. Delete IndexedDB and Cache Storage too when the app uses both. */
function endSession(reason) {
  const browserCleared = storedItems().length === 0 // by Clear-Site-Data, before scripts get the response
  localStorage.clear()
  sessionStorage.clear()
  session = null

  show('out', null)
  renderDeleted()
  const deletedBy = browserCleared ? 'The browser, on Clear-Site-Data,' : 'This page'
  const kind = reason === 'logged_out' ? 'goodbye' : 'ended'
  showBanner(kind, 'Your session has ended', `${endMessage(reason)} ${deletedBy} deleted everything stored here.`)
  element('banner-place').focus()
}

function beginSession(token, user) {
  session = { token, user }
  localStorage.setItem(TOKEN, token)
  hideBanner()
  showSession()
  return loadPrivatePage()
}

/** Loads the guarded data. The calls count as activity and extend the idle time: never call from a timer. */
async function loadPrivatePage() {
  const sessionAtStart = session
  for (const [field, path] of Object.entries({ user: '/me', sessions: '/user/sessions' })) {
    const { status, body } = await callApi('GET', path)
    if (sessionAtStart !== session) return
    if (status !== 200) return showTrouble(status)
    sessionAtStart[field] = body
  }
  sessionStorage.setItem(USER, JSON.stringify(sessionAtStart.user))
  showSession()
  return checkSession()
}

/** Loads the expiry of the session. The call does not count as activity and is safe in a timer. */
async function checkSession() {
  const sessionAtStart = session
  const { status, body } = await callApi('GET', '/user/session')
  if (sessionAtStart !== session) return
  if (status !== 200) return showTrouble(status)
  sessionAtStart.endsAt = Date.parse(body.expires_at)
  sessionAtStart.idleEndsAt = Date.parse(body.idle_expires_at)
  hideBanner()
  showSession()
}

function showSession() {
  element('notes').value = localStorage.getItem(NOTES) ?? ''
  show(session.user ? 'in' : 'checking', session)
  renderStored()
}

function showTrouble(status) {
  showSession()
  const title = status === 0 ? 'The server cannot be reached' : 'The server cannot answer right now'
  showBanner('trouble', title, 'Your data stays and you stay logged in. The page keeps trying.')
}

// Buttons

const account = document.forms.namedItem('account')

async function logIn(username, password) {
  const { status, body } = await callApi('POST', '/user/login', { username, password })
  if (status === 200) {
    account.reset()
    await beginSession(body.access_token, body.user)
    return element('in-title').focus()
  }
  setText('form-message', status === 401 ? 'Wrong user name or password.' : failureMessage(status))
}

async function register(registration) {
  const { status } = await callApi('POST', '/user/register', registration)
  if (status !== 201) return setText('form-message', failureMessage(status))
  offerLogin('The account has been created. No session is open yet: log in.')
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
  await busy(element('submit'), () =>
    mode === 'login' ? logIn(username, password) : register({ username, password, ...(email && { email }) })
  )
})

account.addEventListener('change', ({ target }) => {
  if (target.name === 'mode') setText('form-message', '')
  renderMode()
})

onClick('example', async () => {
  const { status } = await callApi('POST', '/user/register', EXAMPLE)
  if (status !== 201 && status !== 409) return setText('form-message', failureMessage(status))
  account.elements.username.value = EXAMPLE.username
  account.elements.password.value = EXAMPLE.password
  offerLogin('The account exists. No session is open yet: log in.')
})

onClick('use', loadPrivatePage)

onClick('log-out', async () => {
  const { status } = await callApi('POST', '/user/logout')
  if (status !== 204) setText('private-message', 'The logout failed. You are still logged in: try again.')
})

onClick('damage', async () => {
  const [header, payload, signature] = session.token.split('.')
  session.token = [header, payload, (signature[0] === 'A' ? 'B' : 'A') + signature.slice(1)].join('.')
  localStorage.setItem(TOKEN, session.token)
  await checkSession()
})

onClick('end-others', () => endOthers('/user/sessions'))

element('sessions').addEventListener('click', ({ target }) => {
  const button = target.closest('button')
  if (button) busy(button, () => endOthers(`/user/sessions/${button.dataset.id}`))
})

async function endOthers(path) {
  const sessionAtStart = session
  const { status } = await callApi('DELETE', path)
  if (sessionAtStart !== session) return
  // 404: the session has already ended.
  if (status !== 204 && status !== 404) return showTrouble(status)
  await loadPrivatePage()
  if (sessionAtStart !== session) return
  setText('sessions-message', 'Ended. The other page notices on the next call.')
  element('sessions-title').focus()
}

element('notes').addEventListener('input', ({ target }) => {
  localStorage.setItem(NOTES, target.value)
  if (target.value === '') localStorage.removeItem(NOTES)
  renderStored()
  renderSteps('in')
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

// Updates

function tick() {
  if (session === null) return
  renderCountdown(session)
  if (document.hidden || pendingCalls > 0 || Date.now() - calledAt < CHECK_EVERY_MS) return
  return session.sessions ? checkSession() : loadPrivatePage()
}

/** After a login in another tab, uses the new token. After a deletion in another tab, checks with the server. */
function followOtherTab() {
  const token = localStorage.getItem(TOKEN)
  if (token !== null && token !== session?.token) beginSession(token, null)
  else calledAt = 0
}

setInterval(tick, 500)
document.addEventListener('visibilitychange', tick)
addEventListener('storage', followOtherTab)
addEventListener('focus', () => session && loadPrivatePage())

renderMode()
const storedToken = localStorage.getItem(TOKEN)
if (storedToken === null) show('out', null)
else beginSession(storedToken, JSON.parse(sessionStorage.getItem(USER)))
