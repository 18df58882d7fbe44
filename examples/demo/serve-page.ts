import { readFile } from 'node:fs/promises'
import type { FastifyInstance } from 'fastify'

const FILES = [
  { url: '/', file: 'index.html', type: 'text/html; charset=utf-8' },
  { url: '/app.js', file: 'app.js', type: 'text/javascript; charset=utf-8' },
  { url: '/dom.js', file: 'dom.js', type: 'text/javascript; charset=utf-8' },
  { url: '/panels.js', file: 'panels.js', type: 'text/javascript; charset=utf-8' },
  { url: '/session-list.js', file: 'session-list.js', type: 'text/javascript; charset=utf-8' },
  { url: '/device-name.js', file: 'device-name.js', type: 'text/javascript; charset=utf-8' },
  { url: '/messages.js', file: 'messages.js', type: 'text/javascript; charset=utf-8' },
  { url: '/style.css', file: 'style.css', type: 'text/css; charset=utf-8' },
  { url: '/session.css', file: 'session.css', type: 'text/css; charset=utf-8' },
  { url: '/panels.css', file: 'panels.css', type: 'text/css; charset=utf-8' }
]

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
  for (const { url, file, type } of FILES) {
    const content = await readFile(new URL(`./page/${file}`, import.meta.url))
    app.get(url, async (_request, reply) => reply.headers(HEADERS).type(type).send(content))
  }
}
