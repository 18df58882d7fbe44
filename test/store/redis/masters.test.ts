import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createApp } from '../../fixtures/app.js'
import { CREDENTIALS, postJson } from '../../fixtures/post-json.js'
import { cutConnections, failuresUntil, openReadyClient, WRITE } from '../../fixtures/redis/own-client.js'
import { startSocketProxy } from '../../fixtures/redis/socket-proxy.js'
import { type StartedRedis, startRedis } from '../../fixtures/redis/start-redis.js'
import { startSentinel } from '../../fixtures/redis/start-sentinel.js'
import { upstream } from '../../fixtures/tokens.js'
import { until } from '../../fixtures/until.js'

t.test('a read-only server serves reads, although the client reconnects once a second', async (t) => {
  const server = await startRedis(t)
  const operator = server.client()
  await operator.set('key', 'value')
  const { client, commands } = await openReadyClient(t, { path: server.socketPath })
  await operator.call('REPLICAOF', '127.0.0.1', '1')
  let readies = 0
  client.on('ready', () => readies++)
  const startedAt = performance.now()
  const isDone = () => readies >= 3
  const [reads, writes] = await Promise.all([
    failuresUntil(isDone, () => commands.mget('key')),
    failuresUntil(isDone, () => commands.eval(WRITE, 1, 'key', 'x'))
  ])
  const seconds = (performance.now() - startedAt) / 1_000
  t.strictSame(reads, [])
  t.ok(writes.length > 10)
  const others = writes.filter((error) => !(error instanceof Error && error.message.includes('READONLY')))
  t.strictSame(others, [])
  t.ok(seconds >= 2, `3 reconnects took ${seconds} s`)
})

t.test('a login on a master that has become a replica is answered 503, and all connections reconnect', async (t) => {
  const server = await startRedis(t)
  const operator = server.client()
  const app = await createApp(t, { upstream, redis: { url: server.socketPath } })
  const login = () => app.inject(postJson('/user/login', CREDENTIALS))
  t.equal((await login()).statusCode, 200)
  await operator.call('REPLICAOF', '127.0.0.1', '1')
  const accepted = async () => Number(/total_connections_received:(\d+)/.exec(await operator.info('stats'))?.[1])
  const before = await accepted()
  t.equal((await login()).statusCode, 503)
  await until(async () => (await accepted()) >= before + 2)
  await operator.call('REPLICAOF', 'NO', 'ONE')
  await until(async () => (await login()).statusCode === 200)
})

t.test('a client follows a name from a master that has become a replica to the new master', async (t) => {
  const [old, successor] = [await startRedis(t), await startRedis(t)]
  const name = await startName(t, old)
  const { commands } = await openReadyClient(t, { host: '127.0.0.1', port: name.port })
  await commands.eval(WRITE, 1, 'key', 'old')
  await old.client().call('REPLICAOF', '127.0.0.1', '1')
  name.pointTo(successor)
  const write = () => commands.eval(WRITE, 1, 'key', 'new').then(Boolean, () => false)
  await until(write)
  t.equal(await successor.client().get('key'), 'new')
})

t.test('a client leaves a master that is down for the sentinels, although the master still responds', async (t) => {
  let isLost = false
  let dropAll = () => {}
  const { sentinels, name, master, replica, watched } = await startSentinel(t, async (server) => {
    const { address, drop } = await startSocketProxy(t, server, { host: '127.0.0.1', port: 0 }, (client, upstream) => {
      if (isLost) client.destroy()
      join(client, upstream)
    })
    dropAll = drop
    return (address as AddressInfo).port
  })
  const { hostname: host, port } = new URL(master.url ?? '')
  const natMap = { [`${host}:${watched}`]: { host, port: Number(port) } }
  const { commands } = await openReadyClient(t, { sentinels, name, natMap })
  const write = () => commands.eval(WRITE, 1, 'key', 'value').catch(() => {})
  const oldMaster = master.client()
  await write()
  t.equal(await oldMaster.get('key'), 'value')

  isLost = true
  dropAll()
  const newMaster = replica.client()
  await until(async () => (await newMaster.role())[0] === 'master', 30)
  await newMaster.del('key')
  await until(async () => {
    await write()
    return (await newMaster.get('key')) === 'value'
  })
  t.equal((await oldMaster.role())[0], 'master', 'the old master still has the role of a master')
})

t.test('a client asks the sentinels again seconds after a reconnect, in case a sentinel was late', async (t) => {
  const { sentinels, name, master, watched } = await startSentinel(t)
  const late = await startRedis(t)
  const [old, successor] = [await startName(t, master), await startName(t, late)]
  let known = old.port
  const natMap = (address: string) => (address === `127.0.0.1:${watched}` ? { host: '127.0.0.1', port: known } : null)
  const { client, commands } = await openReadyClient(t, { sentinels, name, natMap })
  let readies = 0
  client.on('ready', () => readies++)
  await cutConnections(master.client())
  await until(() => readies === 1)
  // No sentinel reports this failover to the client.
  known = successor.port
  await until(async () => Boolean(await commands.eval(WRITE, 1, 'key', 'value')) && readies === 2)
  await commands.eval(WRITE, 1, 'key', 'new')
  t.equal(await late.client().get('key'), 'new')
  await delay(3_500)
  t.equal(readies, 2, 'the second connection is not confirmed again')
})

/** A name of a server that can be moved to another server; open connections stay with the first server. */
async function startName(t: Test, first: StartedRedis) {
  let target = first
  const name = createServer((socket) => {
    const server = connect(target.socketPath)
    for (const end of [socket, server]) end.on('error', () => {})
    join(socket, server)
    t.teardown(() => socket.destroy())
  })
  t.teardown(() => name.close())
  await once(name.listen(0, '127.0.0.1'), 'listening')
  return {
    port: (name.address() as AddressInfo).port,
    pointTo(server: StartedRedis) {
      target = server
    }
  }
}

function join(client: Socket, server: Socket): void {
  client.pipe(server).pipe(client)
  client.on('close', () => server.destroy())
  server.on('close', () => client.destroy())
}
