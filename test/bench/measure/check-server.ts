import { setTimeout as delay } from 'node:timers/promises'
import { credentialOf } from '../load/requests.js'
import type { RunningServer } from '../running-server.js'
import type { Bench } from './bench.js'

/** Which commands reach Redis in one request of each kind. */
export interface Commands {
  login: string[]
  verify: string[]
  logout: string[]
}

const USER = { id: 'user-0', name: 'User user-0' }

/**
 * Sees to it that a server does what its figures will stand for: the user is known, a request without a session is refused, and after a
 * logout the session is over, or is not where the server says so.
 *
 * @throws Error when it does something else
 */
export async function checkServer({ redis }: Bench, server: RunningServer): Promise<Commands> {
  const { port, title, tokenHeader, endsAtLogout } = server

  async function send(method: string, path: string, headers = {}, body?: object) {
    const type = body === undefined ? {} : { 'content-type': 'application/json' }
    const init = { method, headers: { ...headers, ...type }, ...(body && { body: JSON.stringify(body) }) }
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, init)
    // In one string, as the generator has it.
    const cookies = answer.headers.getSetCookie().map((cookie) => `\r\nset-cookie: ${cookie}\r\n`)
    return { status: answer.status, text: cookies.join('') + (await answer.text()) }
  }
  function expect(what: string, isSo: boolean): void {
    if (!isSo) throw new Error(`${title}: ${what}`)
  }

  const logIn = () => send('POST', '/user/login', {}, { username: USER.id, password: 'any' })
  // The first one may have a script to load.
  await logIn()
  let answer = ''
  const login = await redis.commandsDuring(async () => {
    answer = (await logIn()).text
  })
  const credential = credentialOf(answer, tokenHeader)
  const me = () => send('GET', '/me', credential)
  const verifyOnce = async () => {
    const { status, text } = await me()
    const { id, name } = JSON.parse(text)
    expect('GET /me does not answer the user', status === 200 && id === USER.id && name === USER.name)
  }
  // The first one may have something to remember.
  await verifyOnce()
  const verify = await redis.commandsDuring(verifyOnce)
  const logout = await redis.commandsDuring(async () => {
    const { status } = await send('POST', '/user/logout', credential)
    expect('a logout is not answered 204', status === 204)
    // Work in the background.
    await delay(50)
  })
  expect('a logout does not do what is said of it', (await me()).status === (endsAtLogout ? 401 : 200))
  if (server.name !== 'bare') expect('a request without a session is let in', (await send('GET', '/me')).status === 401)
  return { login, verify, logout }
}
