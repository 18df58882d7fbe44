import { promisify } from 'node:util'
import express, { type Request, type RequestHandler } from 'express'
import { Redis } from 'ioredis'
import jwtRedisSession, { type JwtSession } from 'jwt-redis-session'
import { type BenchServer, type BenchUser, callUpstream, listenExpress, SECRET, TTL_SECONDS } from './bench-server.js'

type OwnSession = JwtSession<{ user: BenchUser }>

function sessionOf(request: Request): OwnSession {
  return (request as Request & { jwtSession: OwnSession }).jwtSession
}

const verify: RequestHandler = (request, response, next) => {
  if (sessionOf(request).user === undefined) response.status(401).json({ message: 'Not logged in' })
  else next()
}

export default {
  title: 'jwt-redis-session, Express 5',
  packages: ['jwt-redis-session', 'express', 'ioredis'],
  tokenHeader: 'x-access-token',
  async start({ redisPath, upstreamUrl }) {
    const client = new Redis(redisPath)
    const app = express()
    app.use(jwtRedisSession({ client, secret: SECRET, maxAge: TTL_SECONDS, requestKey: 'jwtSession' }))
    app.post('/user/login', express.json(), async (request, response) => {
      const session = sessionOf(request)
      session.user = await callUpstream(upstreamUrl, request.body)
      const token = await promisify(session.create).call(session, {})
      response.json({ access_token: token, user: session.user })
    })
    app.post('/user/logout', async (request, response) => {
      const session = sessionOf(request)
      await promisify(session.destroy).call(session)
      response.status(204).end()
    })
    app.get('/me', verify, (request, response) => {
      const { user } = sessionOf(request)
      response.json({ id: user?.id, name: user?.name })
    })
    return listenExpress(app)
  }
} satisfies BenchServer
