import { element, say } from './dom.js'
import {
  hideBanner,
  keptItems,
  logCall,
  renderCountdown,
  renderDeleted,
  renderKept,
  renderMode,
  renderSteps,
  show,
  showBanner
} from './panels.js'
import { inWords, whyEnded } from './words.js'

// How a client should react to the end of its session is all in callApi() and endSession(); the rest is buttons.

const TOKEN = 'access_token' // in localStorage, with the notes
const NOTES = 'private_notes'
const USER = 'user' // in sessionStorage: a reloaded page has a name to show before the server answered
const CHECK_EVERY_MS = 3_000
const EXAMPLE = { username: 'ada', password: 'countess of lovelace', email: 'ada@example.com' }

/** The login this page acts for: `{ token, user, sessions, endsAt, idleEndsAt }`; all but the token may be missing. */
let session = null
let callsWaiting = 0
let calledAt = 0

/**
 * Every call of the page goes through here. One thing alone ends the session on this side: the clear signal, a
 * `Session-Ended` header. A 401, a 503, a lost connection or a clock never do: an outage must not delete anybody's data.
 */
async function callApi(method, path, body) {
  const asked = session
  const headers = {}
  if (asked) headers.Authorization = `Bearer ${asked.token}`
  if (body) headers['Content-Type'] = 'application/json'

  let response
  callsWaiting++
  try {
    const signal = AbortSignal.timeout(10_000)
    response = await fetch(path, { method, headers, body: body && JSON.stringify(body), signal })
  } catch {
    logCall(method, path, null, null)
    return { status: 0, body: null }
  } finally {
    callsWaiting--
    calledAt = Date.now()
  }

  const answer = await response.json().catch(() => null)
  logCall(method, path, response, answer)
  const reason = response.headers.get('Session-Ended')
  // An answer that was on its way when another login began says nothing about that one.
  if (reason !== null && asked !== null && asked === session) endSession(reason)
  return { status: response.status, body: answer }
}

/** Deletes every store, then shows why. An app that uses IndexedDB or Cache Storage deletes those here as well. */
function endSession(reason) {
  const browserWasFirst = keptItems().length === 0 // it obeys Clear-Site-Data before the answer gets here
  localStorage.clear()
  sessionStorage.clear()
  session = null

  show('out', null)
  renderDeleted()
  const who = browserWasFirst ? 'The browser, told by Clear-Site-Data,' : 'This page'
  const kind = reason === 'logged_out' ? 'goodbye' : 'ended'
  showBanner(kind, 'Your session has ended', `${whyEnded(reason)} ${who} deleted everything that was kept here.`)
  element('banner-place').focus()
}

function beginSession(token, user) {
  session = { token, user }
  localStorage.setItem(TOKEN, token)
  hideBanner()
  showSession()
  return loadPrivatePage()
}

/** Asks for what only a session may see. That is a use of it and puts off the idle end, so no timer does this. */
async function loadPrivatePage() {
  const asked = session
  for (const [field, path] of Object.entries({ user: '/me', sessions: '/user/sessions' })) {
    const { status, body } = await callApi('GET', path)
    if (asked !== session) return
    if (status !== 200) return showTrouble(status)
    asked[field] = body
  }
  sessionStorage.setItem(USER, JSON.stringify(asked.user))
  showSession()
  return checkSession()
}

/** Asks whether the session still lives, and for how long: a question that extends nothing, so a timer may ask it. */
async function checkSession() {
  const asked = session
  const { status, body } = await callApi('GET', '/user/session')
  if (asked !== session) return
  if (status !== 200) return showTrouble(status)
  asked.endsAt = Date.parse(body.expires_at)
  asked.idleEndsAt = Date.parse(body.idle_expires_at)
  hideBanner()
  showSession()
}

function showSession() {
  element('notes').value = localStorage.getItem(NOTES) ?? ''
  show(session.user ? 'in' : 'checking', session)
  renderKept()
}

function showTrouble(status) {
  showSession()
  const title = status === 0 ? 'The server cannot be reached' : 'The server cannot answer right now'
  showBanner('trouble', title, 'Your data is kept and you stay logged in. The page goes on asking.')
}

// What the buttons do

const account = document.forms.namedItem('account')

async function logIn(username, password) {
  const { status, body } = await callApi('POST', '/user/login', { username, password })
  if (status === 200) {
    account.reset()
    await beginSession(body.access_token, body.user)
    return element('in-title').focus()
  }
  say('form-message', status === 401 ? 'Wrong user name or password.' : inWords(status))
}

async function register(registration) {
  const { status } = await callApi('POST', '/user/register', registration)
  if (status !== 201) return say('form-message', inWords(status))
  offerLogin('The account is made. No session is open yet: log in.')
}

function offerLogin(message) {
  account.elements.mode.value = 'login'
  renderMode()
  say('form-message', message)
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
  if (target.name === 'mode') say('form-message', '')
  renderMode()
})

onClick('example', async () => {
  const { status } = await callApi('POST', '/user/register', EXAMPLE)
  if (status !== 201 && status !== 409) return say('form-message', inWords(status))
  account.elements.username.value = EXAMPLE.username
  account.elements.password.value = EXAMPLE.password
  offerLogin('The account is there. No session is open yet: log in.')
})

onClick('use', loadPrivatePage)

onClick('log-out', async () => {
  const { status } = await callApi('POST', '/user/logout')
  if (status !== 204) say('private-message', 'The server could not do it. You are still logged in: try again.')
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
  const asked = session
  const { status } = await callApi('DELETE', path)
  if (asked !== session) return
  // 404: somebody else was faster, and it has ended.
  if (status !== 204 && status !== 404) return showTrouble(status)
  await loadPrivatePage()
  if (asked !== session) return
  say('sessions-message', 'Ended. The page over there finds out from its next call.')
  element('sessions-title').focus()
}

element('notes').addEventListener('input', ({ target }) => {
  localStorage.setItem(NOTES, target.value)
  if (target.value === '') localStorage.removeItem(NOTES)
  renderKept()
  renderSteps('in')
})

function onClick(id, action) {
  element(id).addEventListener('click', ({ currentTarget }) => busy(currentTarget, action))
}

/** One click, one action. aria-disabled and not disabled: a disabled button loses the keyboard focus. */
async function busy(button, action) {
  if (button.ariaDisabled === 'true') return
  button.ariaDisabled = 'true'
  say('form-message', '')
  say('private-message', '')
  say('sessions-message', '')
  await action().finally(() => {
    button.ariaDisabled = null
  })
}

// Staying up to date

function tick() {
  if (session === null) return
  renderCountdown(session)
  if (document.hidden || callsWaiting > 0 || Date.now() - calledAt < CHECK_EVERY_MS) return
  return session.sessions ? checkSession() : loadPrivatePage()
}

/** Another tab logged in: follow it. Another tab emptied the stores: the next tick asks the server, which alone knows. */
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
