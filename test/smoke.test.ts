import t from 'tap'
import { createApp, logIn, logout, withToken } from './fixtures/app.js'

t.test('a session opens at login and is over after logout', async (t) => {
  const app = await createApp(t)
  const token = await logIn(app)
  t.equal((await app.inject(withToken(token))).json().user.id, 'ada')
  t.equal((await app.inject(logout(token))).statusCode, 204)
  t.equal((await app.inject(withToken(token))).statusCode, 401)
})
