import t from 'tap'
import { openRedis, type RedisOptions } from '../../../lib/store/redis/open-client.js'
import { createReconnectingClient } from '../../../lib/store/redis/reconnecting-client.js'
import { cutConnections, openClient, openReadyClient, WRITE } from '../../fixtures/redis/own-client.js'
import { startRedis } from '../../fixtures/redis/start-redis.js'
import { until } from '../../fixtures/until.js'
import { createWatchedFastify } from '../../fixtures/watched-fastify.js'

t.test('a client with a refused database never uses database 0:', async (t) => {
  const server = await startRedis(t)
  const operator = server.client()
  await operator.set('key', 'of database 0')
  const ofThree = server.client({ db: 3 })
  await ofThree.set('key', 'of database 3')
  const allow = (right: string) => operator.call('ACL', 'SETUSER', 'default', right)

  for (const options of [{ url: `${server.socketPath}?db=3` }, { path: server.socketPath, db: 3 }]) {
    await t.test('commands fail while a later connection may not select the database', async (t) => {
      const { commands } = await openReadyClient(t, options)
      t.strictSame(await commands.mget('key'), ['of database 3'])
      await allow('-select')
      await cutConnections(operator)
      for (let i = 0; i < 3; i++) {
        await t.rejects(commands.mget('key'), /^NOPERM/)
        await t.rejects(commands.eval(WRITE, 1, 'key', 'overwritten'), /^NOPERM/)
      }
      t.equal(await operator.get('key'), 'of database 0')
      await allow('+select')
      t.strictSame(await commands.mget('key'), ['of database 3'], 'the database is selected again')
    })

    await t.test('commands fail while the first connection may not select the database', async (t) => {
      await allow('-select')
      const { refusal, client } = await openRedis(createWatchedFastify(t), options, 2_000)
      await t.rejects(createReconnectingClient(client).mget('key'), /^NOPERM/)
      t.match(refusal(), { message: /^NOPERM/ })
      await allow('+select')
    })
  }

  await t.test('commands of a client that connected before the store fail while SELECT is denied', async (t) => {
    await allow('-select')
    const client = server.client({ db: 3 })
    await until(() => client.status === 'ready')
    const commands = createReconnectingClient(client)
    await t.rejects(commands.mget('key'), /^NOPERM/)
    await allow('+select')
    t.strictSame(await commands.mget('key'), ['of database 3'])
  })

  await t.test('commands fail while a transaction of other code on the client is open', async (t) => {
    const client = server.client({ db: 3 })
    await client.ping()
    await client.multi({ pipeline: false })
    const commands = createReconnectingClient(client)
    await t.rejects(commands.mget('key'), /SELECT/)
    await client.exec()
    t.strictSame(await commands.mget('key'), ['of database 3'])
  })

  await t.test('a database that the application has selected later is selected again after a reconnect', async (t) => {
    const client = server.client({ db: 3 })
    const commands = createReconnectingClient(client)
    await commands.mget('key')
    await client.select(4)
    await client.set('key', 'of database 4')
    await cutConnections(operator)
    await until(() => client.status !== 'ready')
    t.strictSame(await commands.mget('key'), ['of database 4'])
    t.equal(await client.get('key'), 'of database 4')
  })
})

t.test('the error reply of a server to the setup of a connection is reported', async (t) => {
  const server = await startRedis(t, { args: ['--requirepass', 'a password'], tcp: true })
  const { port } = new URL(server.url ?? '')
  const operator = server.client({ password: 'a password' })
  await operator.call('ACL', 'SETUSER', 'off', 'reset', 'off', '>a password', '+@all')
  await operator.call('ACL', 'SETUSER', 'poor', 'reset', 'on', '>a password', '+mget', '+ping', '~*')
  const { socketPath: path } = server
  const password = 'a password'
  const refused: [options: RedisOptions, reply: RegExp][] = [
    [{ path }, /^NOAUTH/],
    [{ path, protocol: 2 }, /^NOAUTH/],
    [{ path, password: 'another' }, /^WRONGPASS/],
    [{ path, password: 'another', protocol: 2 }, /^WRONGPASS/],
    [{ path, username: 'off', password }, /^WRONGPASS/],
    [{ path, username: 'poor', password, db: 1 }, /^NOPERM/],
    [{ path, password, db: 16 }, /^ERR DB index is out of range/],
    [{ url: `redis://:a%20password@127.0.0.1:${port}/99` }, /^ERR DB index is out of range/]
  ]
  for (const [options, reply] of refused) {
    const { refusal, client } = await openRedis(createWatchedFastify(t), options, 2_000)
    await t.rejects(createReconnectingClient(client).mget('key'))
    await until(() => refusal() !== undefined)
    t.match(refusal()?.message, reply)
  }
  t.capture(console, 'warn')
  const { commands } = await openClient(t, { path, username: 'poor', password, connectionName: 'sessions' })
  t.strictSame(await commands.mget('key'), [null], 'the client works without CLIENT SETNAME and INFO')
})

t.test('a URL whose query names no database is refused', async (t) => {
  const server = await startRedis(t)
  await t.rejects(openRedis(createWatchedFastify(t), { url: `${server.socketPath}?db=x` }, 500), {
    code: 'FST_JWT_SESSION_INVALID_OPTION',
    option: 'redis.url'
  })
})
