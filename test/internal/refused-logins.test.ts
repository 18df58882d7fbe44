import t from 'tap'
import { CredentialsRejectedError } from '../../lib/index.js'
import { createApp } from '../fixtures/app.js'
import { createLog } from '../fixtures/log.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { response, startRawUpstream } from '../fixtures/raw-upstream.js'

const SUSPECT = [400, 402, 404, 409, 410, 412, 422, 428, 451]
const PLAIN = [401, 403, 423]

t.test('each status that may come from a wrong configuration is logged once per process', async (t) => {
  const upstream = await startRawUpstream(t)
  const { lines, logger } = createLog()
  const upstreamOptions = { baseUrl: upstream.baseUrl, loginPath: '/a-path?key=a-key' }
  const warnings = () => lines.map((line) => JSON.parse(line)).filter(({ level }) => level === 40)
  const refuse = async (mapError?: () => CredentialsRejectedError) => {
    const app = await createApp(t, { upstream: { ...upstreamOptions, ...(mapError && { mapError }) } }, { logger })
    for (const route of ['register', 'login']) {
      for (const status of [...PLAIN, ...SUSPECT, 429, 500]) {
        upstream.answers.push(response(status, 'upstream-only'))
        await app.inject(postJson(`/user/${route}`, CREDENTIALS))
      }
    }
  }
  await refuse(() => new CredentialsRejectedError())
  t.strictSame(warnings(), [], 'with mapError there is no warning')
  await refuse()
  t.strictSame(
    warnings().map(({ operation, status }) => [operation, status]),
    SUSPECT.map((status) => ['login', status])
  )
  for (const { status, msg } of warnings()) {
    t.match(msg, `answered ${status} to a login`)
    t.match(msg, /`upstream\.loginPath`.*`upstream\.mapCredentials`.*`upstream\.headers`/)
    t.notMatch(msg, /a-path|a-key|upstream-only|127\.0\.0\.1/)
  }
  await refuse()
  t.equal(warnings().length, SUSPECT.length, 'another instance logs no second warning')
})
