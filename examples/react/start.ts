import { fileURLToPath } from 'node:url'
import fastifyStatic from '@fastify/static'
import { createServer } from 'vite'
import { createApi } from './server.ts'

// `npm start`: the page by Vite, which passes calls on to the API. `npm run preview`: the built page, by the API itself.

const root = fileURLToPath(new URL('.', import.meta.url))
const port = Number(process.env.PORT ?? 3000)
const api = await createApi()

if (process.argv.includes('--built')) {
  // The page stores a token within reach of scripts: allow only scripts and calls of the page's own origin.
  const policy = "default-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'"
  await api.register(fastifyStatic, {
    root: `${root}dist`,
    setHeaders: (reply) => reply.setHeader('Content-Security-Policy', policy)
  })
  console.log(await api.listen({ host: '127.0.0.1', port }))
} else {
  const target = await api.listen({ host: '127.0.0.1', port: 0 })
  const proxy = { '/user': target, '/orders': target }
  const vite = await createServer({ root, server: { host: '127.0.0.1', port, proxy } })
  await vite.listen()
  console.log(vite.resolvedUrls?.local[0])
}
