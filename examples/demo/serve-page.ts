import { readdir, readFile } from 'node:fs/promises'
import { extname } from 'node:path'
import type { FastifyInstance } from 'fastify'

const PAGE = new URL('./page/', import.meta.url)
/** The browser client, as the package has it: a page without a bundler loads its modules. */
const CLIENT = new URL('.', import.meta.resolve('fastify-jwt-session/client'))

const TYPES: Record<string, string> = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css' }

// The page stores an access token within reach of scripts: allow only scripts and calls of the page's own origin.
const HEADERS = {
  'Content-Security-Policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "img-src 'self' data:",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'"
  ].join('; '),
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cache-Control': 'no-cache'
}

/** Adds the static files of the demo to the app. The files are read once, at the start. */
export async function servePage(app: FastifyInstance): Promise<void> {
  await serveFolder(app, PAGE, '/')
  await serveFolder(app, CLIENT, '/client/')
}

async function serveFolder(app: FastifyInstance, folder: URL, prefix: string): Promise<void> {
  for (const file of await readdir(folder)) {
    const type = TYPES[extname(file)]
    if (type === undefined) continue
    const content = await readFile(new URL(file, folder))
    const url = prefix + file.replace(/^index\.html$/, '')
    app.get(url, async (_request, reply) => reply.headers(HEADERS).type(`${type}; charset=utf-8`).send(content))
  }
}
