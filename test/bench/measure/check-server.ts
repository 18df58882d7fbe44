import { setTimeout as delay } from 'node:timers/promises'
import { credentialOf } from '../load/requests.js'
import type { RunningServer } from '../running-server.js'
import type { Bench } from './bench.js'

/** The Redis commands of a request of each kind. */
export interface Commands {
  login: string[]
  verify: string[]
  logout: string[]
}

const USER = { id: 'user-0', name: 'User user-0' }

/**
 * Checks that a server works as described: a request with a session gets the user, a request without a session is
 * refused, and a logout ends the session, except where the server declares otherwise.
 *
 * @throws Error when a check fails
 */
export async function checkServer({ redis }: Bench, server: RunningServer): Promise<Commands> {
  const { port, title, tokenHeader, endsAtLogout } = server

  async function send(method: string, path: string, headers = {}, body?: object) {
    const type = body === undefined ? {} : { 'content-type': 'application/json' }
    const init = { method, headers: { ...headers, ...type }, ...(body && { body: JSON.stringify(body) }) }
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, init)
    // Formatted like the replies of the generator.
    const cookies = answer.headers.getSetCookie().map((cookie) => `\r\nset-cookie: ${cookie}\r\n`)
    return { status: answer.status, text: cookies.join('') + (await answer.text()) }
  }
  function expect(what: string, isSo: boolean): void {
    if (!isSo) throw new Error(`${title}: ${what}`)
  }

  const logIn = () => send('POST', '/user/login', {}, { username: USER.id, password: 'any' })
  // The first login may load a script.
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
  // The first request may fill a cache.
  await verifyOnce()
  const verify = await redis.commandsDuring(verifyOnce)
  const logout = await redis.commandsDuring(async () => {
    const { status } = await send('POST', '/user/logout', credential)
    expect('a logout is not answered 204', status === 204)
    // A pause for background work.
    await delay(50)
  })
  expect('a logout does not have the declared effect', (await me()).status === (endsAtLogout ? 401 : 200))
  if (!server.name.startsWith('bare'))
    expect('a request without a session is let in', (await send('GET', '/me')).status === 401)
  return { login, verify, logout }
}
