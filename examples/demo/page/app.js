import {
  element,
  hideBanner,
  keptItems,
  logCall,
  renderCountdown,
  renderDeleted,
  renderKept,
  renderMode,
  renderSteps,
  say,
  show,
  showBanner
} from './panels.js'

// How a client should react to the end of its session is all in callApi() and endSession(); the rest is buttons.

const TOKEN = 'access_token' // in localStorage, with the notes
const NOTES = 'private_notes'
const USER = 'user' // in sessionStorage: a reloaded page has a name to show before the server answered
const CHECK_EVERY_MS = 3_000

const WHY_ENDED = new Map([
  ['logged_out', 'You logged out.'],
  ['expired', 'The session reached the end of its time.'],
  ['revoked', 'Somebody ended it from elsewhere: an administrator, or you on another device.'],
  ['replaced', 'A newer login took its place.'],
  ['invalid_token', 'The server did not accept the token: it was damaged, or signed with another secret.'],
  ['unknown', 'The server no longer has this session: it was ended from elsewhere, or the server forgot it.']
])

/** The login this page acts for: `{ token, user, createdAt, expiresAt }`, of which all but the token may be missing. */
let session = null

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
  try {
    const signal = AbortSignal.timeout(10_000)
    response = await fetch(path, { method, headers, body: body && JSON.stringify(body), signal })
  } catch {
    logCall(method, path, null, null)
    return { status: 0, body: null }
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
  const why = WHY_ENDED.get(reason) ?? `The server gave the reason “${reason}”.`
  const who = browserWasFirst ? 'The browser, told by Clear-Site-Data,' : 'This page'
  const kind = reason === 'logged_out' ? 'goodbye' : 'ended'
  showBanner(kind, 'The session has ended', `${why} ${who} deleted everything that was kept here.`)
  element('banner-place').focus()
}

function beginSession(token, user) {
  session = { token, user }
  localStorage.setItem(TOKEN, token)
  keepUser(user)
  hideBanner()
  showSession()
  return checkSession()
}

let checking = null
let checkedAt = 0

/** Asks the server whether the session still lives. Every answer but "yes" and the clear signal changes nothing. */
async function checkSession() {
  if (session === null || checking === session) return
  const asked = session
  checking = asked
  const { status, body } = await callApi('GET', '/me')
  if (checking === asked) checking = null
  if (asked !== session) return

  checkedAt = Date.now()
  if (status !== 200) return showTrouble(status)
  asked.user = body.user
  asked.createdAt = Date.parse(body.created_at)
  asked.expiresAt = Date.parse(body.expires_at)
  keepUser(body.user)
  hideBanner()
  showSession()
}

function showSession() {
  element('notes').value = localStorage.getItem(NOTES) ?? ''
  show(session.user ? 'in' : 'checking', session)
  renderKept()
}

function keepUser(user) {
  if (user) sessionStorage.setItem(USER, JSON.stringify(user))
  else sessionStorage.removeItem(USER)
}

function showTrouble(status) {
  showSession()
  const title = status === 0 ? 'The server cannot be reached' : 'The server cannot check right now'
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
  account.elements.mode.value = 'login'
  renderMode()
  say('form-message', 'The account is made. No session is open yet: log in.')
  element('submit').focus()
}

function inWords(status) {
  if (status === 0) return 'The server cannot be reached.'
  if (status === 409) return 'This user name is taken.'
  if (status === 400 || status === 422) return 'This was not accepted: a password has at least 8 characters.'
  if (status === 429) return 'Too many tries. Wait a little.'
  return 'This does not work right now. Try again in a moment.'
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
  const [part, password] = [crypto.randomUUID().slice(0, 6), crypto.randomUUID()]
  const registration = { username: `guest-${part}`, password, email: `guest-${part}@example.com` }
  account.elements.username.value = registration.username
  account.elements.password.value = registration.password
  await register(registration)
})

onClick('call-me', checkSession)

onClick('log-out', async () => {
  const { status } = await callApi('POST', '/user/logout')
  if (status !== 204)
    say('private-message', 'The server could not end the session. You are still logged in: try again.')
})

onClick('end-elsewhere', async () => {
  const { status } = await callApi('POST', '/end-elsewhere')
  if (status === 204) say('private-message', 'Ended on the server. This page does not know yet: watch its next call.')
  else if (session) showTrouble(status)
})

onClick('damage', async () => {
  const [header, payload, signature] = session.token.split('.')
  session.token = [header, payload, (signature[0] === 'A' ? 'B' : 'A') + signature.slice(1)].join('.')
  localStorage.setItem(TOKEN, session.token)
  await checkSession()
})

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
  await action().finally(() => {
    button.ariaDisabled = null
  })
}

// Staying up to date

function tick() {
  if (session === null) return
  renderCountdown(session)
  if (!document.hidden && Date.now() - checkedAt >= CHECK_EVERY_MS) checkSession()
}

/** Another tab logged in: follow it. Another tab emptied the stores: the next tick asks the server, which alone knows. */
function followOtherTab() {
  const token = localStorage.getItem(TOKEN)
  if (token !== null && token !== session?.token) beginSession(token, null)
  else checkedAt = 0
}

setInterval(tick, 500)
document.addEventListener('visibilitychange', tick)
addEventListener('storage', followOtherTab)

renderMode()
const storedToken = localStorage.getItem(TOKEN)
if (storedToken === null) show('out', null)
else beginSession(storedToken, JSON.parse(sessionStorage.getItem(USER)))
