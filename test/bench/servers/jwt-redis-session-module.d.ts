// The package has no types. The declarations cover only the used part.
declare module 'jwt-redis-session' {
  import type { RequestHandler } from 'express'

  interface SessionMethods {
    create(claims: object, callback: (error: Error | null, token: string) => void): void
    destroy(callback: (error: Error | null) => void): void
  }

  export type JwtSession<Data> = SessionMethods & Partial<Data>

  export default function jwtRedisSession(options: {
    client: object
    secret: string
    maxAge: number
    requestKey: string
  }): RequestHandler
}
