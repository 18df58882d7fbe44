import { promisify } from 'node:util'
import { RedisStore } from 'connect-redis'
import express, { type RequestHandler } from 'express'
import session from 'express-session'
import { createClient } from 'redis'
import { type BenchServer, type BenchUser, callUpstream, listenExpress, SECRET } from './bench-server.js'

declare module 'express-session' {
  interface SessionData {
    user: BenchUser
  }
}

const verify: RequestHandler = (request, response, next) => {
  if (request.session.user === undefined) response.status(401).json({ message: 'Not logged in' })
  else next()
}

/** `disableTouch` saves a second command per request: requests do not extend the session. */
export default {
  title: 'express-session and connect-redis, Express 5',
  packages: ['express-session', 'connect-redis', 'redis', 'express'],
  async start({ redisPath, upstreamUrl }) {
    const client = await createClient({ socket: { path: redisPath, tls: false } }).connect()
    const store = new RedisStore({ client, disableTouch: true })
    const app = express()
    app.use(session({ store, secret: SECRET, resave: false, saveUninitialized: false }))
    app.post('/user/login', express.json(), async (request, response) => {
      const user = await callUpstream(upstreamUrl, request.body)
      await promisify(request.session.regenerate).call(request.session)
      request.session.user = user
      response.json({ user })
    })
    app.post('/user/logout', async (request, response) => {
      await promisify(request.session.destroy).call(request.session)
      response.status(204).end()
    })
    app.get('/me', verify, ({ session: { user } }, response) => {
      response.json({ id: user?.id, name: user?.name })
    })
    return listenExpress(app)
  }
} satisfies BenchServer
