/** The files of the servers, in the order of the results. */
export const SERVERS = [
  'bare',
  'bare-copy',
  'plugin-cache',
  'plugin-cache-observed',
  'plugin-memory',
  'plugin-strict-pipelining',
  'plugin-strict',
  'fastify-jwt',
  'fastify-jwt-get-pipelining',
  'fastify-jwt-get',
  'fastify-session',
  'mgcrea-session',
  'express-session',
  'jwt-redis-session',
  'better-auth'
] as const

export type ServerName = (typeof SERVERS)[number]
