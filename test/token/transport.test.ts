import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import type { InjectOptions } from 'fastify'
import t, { type Test } from 'tap'
import { assertAccepted, assertEnded, createGuardedApp, openSession, type Visit } from '../fixtures/tokens.js'

function withAuthorization(authorization: string): InjectOptions {
  return { url: '/me', headers: { authorization } }
}

/** Asserts a 401 without the clear signal and without a message about a token. */
function assertMissing(t: Test, { answer, handlerRuns, storeCalls }: Visit): void {
  t.equal(answer.statusCode, 401)
  t.equal(
    answer.body,
    '{"statusCode":401,"code":"FST_JWT_SESSION_MISSING","error":"Unauthorized","message":"Authentication is required"}'
  )
  const { date, connection, ...headers } = answer.headers
  t.strictSame(headers, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': String(answer.body.length),
    'cache-control': 'no-store',
    'www-authenticate': 'Bearer realm="session"'
  })
  t.equal(handlerRuns, 0, 'the handler does not run')
  t.strictSame(storeCalls, [], 'the store is not called')
}

t.test('the scheme is Bearer in any case, with any number of spaces', async (t) => {
  const { visit, token } = await openSession(t)
  for (const scheme of ['Bearer', 'bearer', 'BEARER', 'bEaReR', 'Bearer ', 'bearer     ']) {
    assertAccepted(t, await visit(withAuthorization(`${scheme} ${token}`)))
  }
})

t.test('a request without a bearer token is answered 401 without the clear signal', async (t) => {
  const { visit, token } = await openSession(t)
  assertMissing(t, await visit({ url: '/me' }))
  const nothing = ['', ' ', 'Bearer', 'bearer', 'Bearer ', 'Bearer    ', 'Bearer\t']
  // The header of a page that sends an unset variable.
  const unset = ['Bearer null', 'bearer undefined', 'BEARER null', 'Bearer    undefined']
  const otherSchemes = [
    'Basic',
    'Digest',
    'DPoP',
    'Token',
    'JWT',
    'Negotiate',
    'Bearers',
    'XBearer',
    'Bearer:',
    'Bearer=',
    'Be',
    'B\u0435arer'
  ]
  const glued = [
    token,
    `Bearer${token}`,
    `Bearer,${token}`,
    `Bearer\t${token}`,
    `Bearer\u00a0${token}`,
    `"Bearer ${token}"`,
    `access_token=${token}`
  ]
  for (const authorization of [
    ...nothing,
    ...unset,
    ...otherSchemes,
    ...otherSchemes.map((scheme) => `${scheme} ${token}`),
    ...glued
  ]) {
    await t.test(JSON.stringify(authorization).slice(0, 40), async (t) => {
      assertMissing(t, await visit(withAuthorization(authorization)))
    })
  }
  assertMissing(t, await visit(withAuthorization(`Basic ${btoa('ada:x')}, Bearer ${token}`)))
})

t.test('any text after Bearer is a token, and an invalid token gets the clear signal', async (t) => {
  const { app, visit, token } = await openSession(t)
  const { token: other } = await app.sessions.create({ id: 'ada' })
  const wrong = [
    '%',
    '%00',
    '.',
    'x',
    'Null',
    'null null',
    'undefined,',
    'nullx',
    '[object Object]',
    '{}',
    '""',
    '=',
    ',',
    '\t',
    '\u00ff',
    `\t${token}`,
    `${token}\t`
  ]
  const two = [
    `${token} ${other}`,
    `${token},${other}`,
    `${token}, ${other}`,
    `${token}, Bearer ${other}`,
    `Bearer ${token}`,
    `${token} ${token}`
  ]
  const decorated = [
    `"${token}"`,
    `token=${token}`,
    `token="${token}"`,
    `${token};`,
    `${token} realm="session"`,
    `${token} `,
    `x ${token}`
  ]
  for (const credentials of [...wrong, ...two, ...decorated]) {
    await t.test(JSON.stringify(credentials).slice(0, 40), async (t) => {
      assertEnded(t, await visit(withAuthorization(`Bearer ${credentials}`)), 'invalid_token')
    })
  }
})

t.test('a token is read only from the Authorization header', async (t) => {
  const { visit, token } = await openSession(t)
  const names = ['access_token', 'token', 'jwt', 'session', 'authorization', 'bearer']
  const requests: InjectOptions[] = [
    ...names.map((name) => ({ url: `/me?${name}=${token}` })),
    ...names.map((name) => ({ url: `/me?${name}=${encodeURIComponent(`Bearer ${token}`)}` })),
    ...[...names, '__Host-session', 'sid', 'connect.sid', 'sessionId'].map((name) => ({
      url: '/me',
      cookies: { [name]: token }
    })),
    ...names.map((name) => ({ method: 'POST' as const, url: '/me', payload: { [name]: token } })),
    ...[
      'x-access-token',
      'x-authorization',
      'x-auth-token',
      'x-session',
      'proxy-authorization',
      'x-forwarded-authorization',
      'www-authenticate'
    ].map((name) => ({ url: '/me', headers: { [name]: `Bearer ${token}` } })),
    ...['x-http-authorization', 'http_authorization', 'authentication'].map((name) => ({
      url: '/me',
      headers: { [name]: `Bearer ${token}` }
    })),
    { url: `/me#access_token=${token}` },
    { url: '/me', headers: { 'sec-websocket-protocol': `bearer, ${token}` } },
    { url: '/me', headers: { referer: `https://example.com/?access_token=${token}` } }
  ]
  for (const request of requests) {
    await t.test(JSON.stringify(request).slice(0, 60), async (t) => assertMissing(t, await visit(request)))
  }
  const query = { url: `/me?access_token=${token}` }
  assertEnded(t, await visit({ ...query, headers: { authorization: 'Bearer x' } }), 'invalid_token')
  assertAccepted(t, await visit({ url: '/me?access_token=x', headers: { authorization: `Bearer ${token}` } }))
  assertAccepted(
    t,
    await visit({ method: 'POST', url: '/me', payload: { token: 'x' }, headers: { authorization: `bearer ${token}` } })
  )
})

t.test('a second Authorization header or a folded line brings no second token', async (t) => {
  const { app } = await createGuardedApp(t)
  const { token } = await app.sessions.create({ id: 'ada' })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo

  async function statusOf(...lines: string[]): Promise<number> {
    const socket = connect(port, '127.0.0.1')
    // Not end(): a half-closed client gets no slow reply.
    socket.write(['GET /me HTTP/1.1', 'Host: localhost', 'Connection: close', ...lines, '', ''].join('\r\n'))
    return Number((await text(socket)).split(' ', 2)[1])
  }

  t.equal(await statusOf(`Authorization: Bearer ${token}`), 200)
  t.equal(await statusOf(`authorization:\t bEARER  ${token} \t`), 200, 'white space around a header is ignored')
  t.equal(await statusOf('Authorization: Bearer x', `Authorization: Bearer ${token}`), 401)
  t.equal(await statusOf('Authorization: Basic x', `Authorization: Bearer ${token}`), 401)
  t.equal(await statusOf('Authorization: Bearer', ` ${token}`), 400)
  t.equal(await statusOf('Authorization: Bearer', `\t${token}`), 400)
  t.equal(await statusOf(`Authorization: Bearer ${token}\n x`), 400)
  t.equal(await statusOf(`Authorization: Bearer ${token}\rx`), 400)
  t.equal(await statusOf(`Authorization: Bearer ${token}\0`), 400)
  t.equal(await statusOf(`Authorization : Bearer ${token}`), 400)
})
