import t from 'tap'
import { createRefusingApp, logIn, REJECTED_NAMES } from '../fixtures/refusing-app.js'

t.test('every rejection of credentials gets the same bytes', async (t) => {
  const app = await createRefusingApp(t)
  const answers = []
  for (const name of REJECTED_NAMES) {
    const { statusCode, headers, rawPayload } = await logIn(app, name)
    const { date, ...others } = headers
    answers.push({ statusCode, headers: Object.entries(others), body: rawPayload.toString('latin1') })
  }
  t.match(answers[0], { statusCode: 401, body: '"code":"FST_JWT_SESSION_CREDENTIALS_REJECTED"' })
  for (const answer of answers) t.strictSame(answer, answers[0])
})
