import { credentialOf, loginRequests, toRequest } from '../../load/requests.js'
import { measure, type RunningServer } from '../../running-server.js'
import type { Bench } from '../bench.js'
import { addBatch, BATCH, type Comparison, inTurn, newBatches } from './comparison.js'

const LOGIN_GOAL = 1.3
const LOGOUT_GOAL = 1.2

/** Compares the login and the logout of two servers. */
export async function compareLogins(bench: Bench, own: RunningServer, other: RunningServer): Promise<Comparison[]> {
  const login = { title: 'login', own: newBatches(own.title), other: newBatches(other.title), goal: LOGIN_GOAL }
  const logout = { title: 'logout', own: newBatches(own.title), other: newBatches(other.title), goal: LOGOUT_GOAL }
  const requests = loginRequests(BATCH, (index) => `user-${index}`)
  const sides = [
    { server: own, side: 'own' },
    { server: other, side: 'other' }
  ] as const

  await inTurn(bench, sides, async ({ server, side }, isRecorded) => {
    await bench.redis.flush()
    const loggedIn = await measure({ ...bench, server }, { requests, keepAnswers: true })
    const logouts = loggedIn.answers.map((answer) =>
      toRequest('POST', '/user/logout', credentialOf(answer, server.tokenHeader))
    )
    const loggedOut = await measure({ ...bench, server }, { requests: logouts })
    if (!isRecorded) return
    addBatch(login[side], loggedIn)
    addBatch(logout[side], loggedOut)
  })
  return [login, logout]
}
