import t from 'tap'
import { fastifyJwtSession } from '../../../lib/index.js'
import { createApp, SECRET } from '../../fixtures/app.js'
import { createLog } from '../../fixtures/log.js'
import { startRedis } from '../../fixtures/redis/start-redis.js'
import { upstream } from '../../fixtures/tokens.js'
import { createWatchedFastify } from '../../fixtures/watched-fastify.js'

t.test('a server that denies scripts is not ready, and fails a start that needs the store', async (t) => {
  const redis = await startRedis(t)
  const operator = redis.client()
  const clients = [{ url: redis.socketPath }, redis.client()]
  const { logger, lines } = createLog()
  const apps = await Promise.all(clients.map((client) => createApp(t, { redis: client }, { logger })))
  for (const app of apps) t.ok(await app.sessions.isReady())
  for (const right of ['-evalsha', '-eval', '-mget']) {
    // EVAL is sent only to a server that has forgotten the script.
    await operator.call('ACL', 'SETUSER', 'default', right)
    // After the change of rights: otherwise a process might load the script again.
    await operator.script('FLUSH')
    for (const app of apps) t.notOk(await app.sessions.isReady(), right)
    for (const client of clients) {
      const app = createWatchedFastify(t, { pluginTimeout: 1_000 })
      const options = { jwt: { secret: SECRET }, upstream, redis: client, requireStoreAtStart: true }
      const error = await app.register(fastifyJwtSession, options).then(
        () => t.fail(`started with ${right}`),
        (error) => error
      )
      t.match(error, { code: 'FST_JWT_SESSION_STORE_UNAVAILABLE', cause: { code: 'NOPERM' } }, right)
    }
    await operator.call('ACL', 'SETUSER', 'default', right.replace('-', '+'))
  }
  for (const app of apps) t.ok(await app.sessions.isReady())
  t.notMatch(lines.join(), / is not ready/, 'only servers of a Cluster are named')
})
