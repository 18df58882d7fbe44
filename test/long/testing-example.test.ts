import t from 'tap'
import { example, runTests } from '../fixtures/testing-example.js'

t.test('each of the four tests fails for an app that is wrong', async (t) => {
  const wrong: [name: string, from: string, to: string][] = [
    ['orders need a session', '{ preHandler: verifySession }', '{}'],
    [
      'a client learns',
      '  return app\n',
      "  app.addHook('onSend', async (_request, reply) => reply.removeHeader('session-ended'))\n  return app\n"
    ],
    [
      'an outage',
      '  return app\n',
      "  app.addHook('onSend', async (_request, reply) => reply.statusCode === 503 && reply.header('session-ended', 'unknown'))\n  return app\n"
    ],
    ['a login needs', '...options })', '...options, upstream: { login: async () => ({ user: { id: 1 } }) } })']
  ]
  for (const [index, [name, from, to]] of wrong.entries()) {
    const { failed } = await runTests(
      `wrong-${index}`,
      example.replace(from, () => to)
    )
    t.ok(
      failed.some((test) => test.startsWith(name)),
      name
    )
  }
})
