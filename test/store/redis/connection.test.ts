import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { Redis } from 'ioredis'
import t from 'tap'
import { Connection } from '../../../lib/store/redis/connection.js'
import { createReconnectingClient } from '../../../lib/store/redis/reconnecting-client.js'
import {
  cutConnections,
  failuresUntil,
  openClient,
  openReadyClient,
  READ,
  WRITE
} from '../../fixtures/redis/own-client.js'
import { startSocketProxy } from '../../fixtures/redis/socket-proxy.js'
import { startCluster } from '../../fixtures/redis/start-cluster.js'
import { startProxy } from '../../fixtures/redis/start-proxy.js'
import { startRedis } from '../../fixtures/redis/start-redis.js'
import { until } from '../../fixtures/until.js'

const SHA_OF_READ = createHash('sha1').update(READ).digest('hex')

t.test('no command fails when connections are cut', async (t) => {
  const server = await startRedis(t)
  const operator = server.client()
  const { client, commands } = await openReadyClient(t, { path: server.socketPath })
  await operator.set('key', 'value')
  // Redis knows the script from now on.
  await commands.eval(READ, 1, 'key')
  let readies = 0
  client.on('ready', () => readies++)
  const calls = [
    () => commands.mget('key'),
    () => commands.eval(READ, 1, 'key'),
    () => commands.evalsha(SHA_OF_READ, 1, 'key')
  ]
  const cutting = (async () => {
    while (readies < 5) {
      const before = readies
      await cutConnections(operator)
      await until(() => readies > before)
      // Wait until the repeated commands are answered: a second cut would make these commands fail.
      await commands.mget('key')
    }
  })()
  for (const failures of await Promise.all(calls.map((call) => failuresUntil(() => readies >= 5, call)))) {
    t.strictSame(failures, [])
  }
  await cutting
})

t.test('any command without a reply is sent once more when the connection was cut', async (t) => {
  const server = await startRedis(t)
  const proxy = await startProxy(t, server)
  const operator = server.client()
  await operator.set('key', 'value')
  const { commands } = await openReadyClient(t, { path: proxy.socketPath })
  await commands.eval(READ, 1, 'key')
  proxy.connections[0]?.hold()
  const pending = [
    commands.mget('key'),
    commands.eval(WRITE, 1, 'other', 'written'),
    commands.evalsha(SHA_OF_READ, 1, 'key')
  ]
  await until(async () => (await operator.get('other')) === 'written')
  await cutConnections(operator)
  t.strictSame(await Promise.all(pending), [['value'], 'OK', 'value'])
})

t.test('a command without a reply is answered after a reconnect, also with retries in the options', async (t) => {
  const server = await startRedis(t)
  const proxy = await startProxy(t, server)
  const operator = server.client()
  await operator.set('key', 'value')
  const { commands } = await openReadyClient(t, { path: proxy.socketPath, maxRetriesPerRequest: 3 })
  proxy.connections[0]?.hold()
  const pending = [commands.mget('key'), commands.eval(WRITE, 1, 'other', 'written')]
  await until(async () => (await operator.get('other')) === 'written')
  await cutConnections(operator)
  t.strictSame(await Promise.all(pending), [['value'], 'OK'])
})

t.test('a second cut connection makes a command fail', async (t) => {
  const server = await startRedis(t)
  const proxy = await startProxy(t, server)
  const { client, commands } = await openReadyClient(t, { path: proxy.socketPath })
  let sent = 0
  client.mget = () => {
    sent++
    return Promise.reject(new Error('Connection is closed.'))
  }
  const pending = t.rejects(commands.mget('key'), { message: 'Connection is closed.' })
  await cutConnections(server.client())
  await pending
  t.equal(sent, 2)
})

t.test('a command that Redis has answered with an error is not sent again', async (t) => {
  const server = await startRedis(t)
  const { commands } = await openReadyClient(t, { path: server.socketPath })
  await t.rejects(commands.evalsha('0'.repeat(40), 1, 'key'), /^NOSCRIPT/)
  await server.client().config('SET', 'maxmemory', '1')
  await t.rejects(commands.eval(WRITE, 1, 'key', 'value'), /^OOM/)
})

t.test('commands to a Redis that is down fail at once, from the first failed attempt on', async (t) => {
  const server = await startRedis(t)
  const { client, commands } = await openReadyClient(t, { path: server.socketPath })
  server.stall()
  const inFlight = commands.mget('in flight')
  const cutOff = t.rejects(inFlight, /Reached the max retries per request limit/)
  await server.kill()
  const waiting = t.rejects(commands.mget('waits for the first attempt'), /isn't writeable|not connected/)
  await Promise.all([cutOff, waiting])
  for (let i = 0; i < 3; i++) {
    let hasFailed = false
    const failed = commands.mget('key').catch((error) => {
      hasFailed = true
      return error
    })
    await new Promise(setImmediate)
    t.ok(hasFailed, 'the command does not wait for an event of the client')
    t.equal((await failed).code, 'NOT_CONNECTED')
    await new Promise<void>((resolve) => void client.on('reconnecting', () => resolve()))
  }
  await server.restart()
  await until(() => client.status === 'ready')
  t.strictSame(await commands.mget('key'), [null])
})

t.test('a command does not wait for a client that has ended', async (t) => {
  const server = await startRedis(t)
  const client = server.client()
  const commands = createReconnectingClient(client)
  await commands.mget('key')
  client.disconnect()
  await t.rejects(commands.mget('key'))
  await until(() => client.status === 'end')
  await t.rejects(commands.mget('key'), { code: 'NOT_CONNECTED' })
  const ended = server.client({ lazyConnect: true })
  ended.disconnect()
  await once(ended, 'end')
  await t.rejects(createReconnectingClient(ended).mget('key'), { code: 'NOT_CONNECTED' })
})

t.test('a connection that is closed before the client is ready is a failed attempt', async (t) => {
  const server = await startRedis(t)
  let isClosing = false
  const proxy = await startSocketProxy(t, server, { host: '127.0.0.1', port: 0 }, (socket, upstream) => {
    if (isClosing) socket.destroy()
    else socket.pipe(upstream).pipe(socket)
  })
  const { port } = proxy.address as AddressInfo
  const { commands } = await openReadyClient(t, { host: '127.0.0.1', port })
  isClosing = true
  proxy.drop()
  await t.rejects(commands.mget('key'))
  await t.rejects(commands.mget('key'), { code: 'NOT_CONNECTED' })
  const { commands: neverReady } = await openClient(t, { host: '127.0.0.1', port })
  await t.rejects(neverReady.mget('key'), { code: 'NOT_CONNECTED' })
})

t.test('a command waits for the first connection attempt of a client', async (t) => {
  const server = await startRedis(t)
  const settings = { enableOfflineQueue: false, commandTimeout: 2_000 }
  t.strictSame(await createReconnectingClient(server.client(settings)).mget('key'), [null])
  const lazy = createReconnectingClient(server.client({ ...settings, lazyConnect: true }))
  t.strictSame(await Promise.all([lazy.mget('key'), lazy.mget('key')]), [[null], [null]])
  await server.kill()
  await t.rejects(createReconnectingClient(server.client({ ...settings, lazyConnect: true })).mget('key'), {
    code: 'NOT_CONNECTED'
  })
})

t.test('a client has one set of listeners, with any number of waiting commands and of stores', async (t) => {
  const server = await startRedis(t)
  const client = server.client({ enableOfflineQueue: false })
  const commands = createReconnectingClient(client)
  await commands.mget('key')
  const count = () => client.eventNames().reduce((sum, name) => sum + client.listenerCount(name), 0)
  const before = count()
  for (let i = 0; i < 20; i++) createReconnectingClient(client)
  await cutConnections(server.client())
  await until(() => client.status !== 'ready')
  const pending = Array.from({ length: 100 }, () => commands.mget('key'))
  await Promise.all(pending)
  t.equal(count(), before)
})

t.test('a client that is not ioredis is used as it is', async (t) => {
  const client = { mget: async () => [], eval: async () => 1, evalsha: async () => 1 }
  t.equal(createReconnectingClient(client), client)
})

t.test('commands fail at once while no sentinel answers', async (t) => {
  const { commands } = await openClient(t, { sentinels: [{ host: '127.0.0.1', port: 1 }], name: 'main' })
  await t.rejects(commands.mget('key'), { code: 'NOT_CONNECTED' })
  await t.rejects(commands.mget('key'), { code: 'NOT_CONNECTED' })
})

t.test('in a Cluster a cut connection to a master fails at most the commands in flight', async (t) => {
  const { masters, connect } = await startCluster(t)
  const operators = masters.map((master) => master.client())
  for (const settings of [
    { maxRedirections: 3, retryDelayOnTryAgain: 10, enableAutoPipelining: true },
    { maxRedirections: 3, clusterNodeRetryStrategy: () => 10 }
  ]) {
    const redisOptions = { commandTimeout: 2_000, maxRetriesPerRequest: 0 }
    const cluster = connect({ enableOfflineQueue: false, slotsRefreshInterval: 60_000, ...settings, redisOptions })
    const commands = createReconnectingClient(cluster)
    await commands.mget('key')
    let cuts = 0
    const cutting = (async () => {
      for (; cuts < 6; cuts++) {
        await cutConnections(operators[cuts % 3] as Redis)
        const nodes = () => cluster.nodes('master').filter(({ status }) => status === 'ready')
        await until(() => nodes().length === 3)
      }
    })()
    let key = 0
    const callers = Array.from({ length: 20 }, () =>
      failuresUntil(
        () => cuts >= 6,
        () => commands.mget(`{${key++}}a`)
      )
    )
    const failures = (await Promise.all(callers)).flat()
    // A repeated command fails when the next connection is cut.
    t.ok(failures.length < callers.length, failures.map(String).join(', '))
    await cutting
  }
})

t.test('a command is sent once more when the client is already ready again', async (t) => {
  const server = await startRedis(t)
  const { client } = await openReadyClient(t, { path: server.socketPath })
  let times = 0
  const result = await Connection.of(client).run(async () => {
    times++
    if (times > 1) return 'sent again'
    const isReady = new Promise<void>((resolve) => void client.on('ready', () => resolve()))
    await cutConnections(server.client())
    await isReady
    throw new Error('Connection is closed.')
  })
  t.equal(result, 'sent again')
})

t.test('a rejection with null is passed on', async (t) => {
  const server = await startRedis(t)
  const { client } = await openReadyClient(t, { path: server.socketPath })
  const outcome = await Promise.allSettled([Connection.of(client).run(() => Promise.reject(null))])
  t.strictSame(outcome, [{ status: 'rejected', reason: null }])
})
