import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { createApp } from '../fixtures/app.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { response, startRawUpstream } from '../fixtures/raw-upstream.js'
import { until } from '../fixtures/until.js'

const LOGIN = postJson('/user/login', CREDENTIALS)

t.test('a connection is kept open as long as the Keep-Alive header of the upstream allows', async (t) => {
  const upstream = await startRawUpstream(t)
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl } })
  const logInAfter = async (...headers: string[]) => {
    upstream.answers.push(response(200, '{"user":{"id":"ada"}}', headers))
    await app.inject(LOGIN)
    return upstream.requests.at(-1)?.socket
  }
  const closing = await logInAfter('keep-alive: timeout=1')
  t.not(await logInAfter(), closing, 'the Keep-Alive timeout is too short for a safe request')
  await until(() => upstream.sockets.size === 0)
  t.pass('the plugin closes the connection before the upstream does')

  const kept = await logInAfter('keep-alive: timeout=600')
  await delay(500)
  t.equal(await logInAfter(), kept, 'the connection is reused')
})
