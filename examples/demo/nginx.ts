import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

const EXAMPLE = new URL('../gateway/nginx.conf', import.meta.url)

/** The files of the demo's page, which every browser gets. */
const PAGE = `location ~ ^/(client/.*|[a-z-]*[.](js|css))?$ {
      proxy_pass http://authenticator;
      proxy_set_header Host $http_host;
    }`

/** nginx is not installed, or does not start: one sentence for the person at the terminal. */
export class NginxError extends Error {}

/**
 * Starts nginx with examples/gateway/nginx.conf, on this port, in front of servers on these ports; and with the page.
 *
 * @throws {NginxError}
 */
export async function startNginx(
  port: number,
  { authenticator, service }: { authenticator: number; service: number }
): Promise<ChildProcess> {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-jwt-session-demo-'))
  // The workers of nginx run as another user when root starts nginx.
  await chmod(folder, 0o755)
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${name};`)
  const conf = (await readFile(EXAMPLE, 'utf8'))
    .replace('listen 8080', `listen 127.0.0.1:${port}`)
    .replace('127.0.0.1:3000', `127.0.0.1:${authenticator}`)
    .replace('127.0.0.1:4000', `127.0.0.1:${service}`)
    .replace('\nhttp {', () => `\nhttp {\n  access_log off;\n  ${temporary.join('\n  ')}`)
    .replace('location / {', () => `${PAGE}\n\n    location / {`)
  await writeFile(join(folder, 'nginx.conf'), conf)
  const settings = 'daemon off; pid nginx.pid; error_log stderr;'
  const nginx = spawn(
    process.env.NGINX || 'nginx',
    ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'stderr', '-g', settings],
    { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` } }
  )
  const removeFolder = () => rm(folder, { recursive: true, force: true })
  nginx.once('exit', removeFolder)
  let output = ''
  nginx.stderr.on('data', (chunk) => (output += chunk))
  try {
    await once(nginx, 'spawn')
  } catch {
    await removeFolder()
    throw new NginxError(
      'The demo needs nginx: install nginx, for example by `apt-get install nginx`, or set NGINX to the path of the program.'
    )
  }
  // nginx writes the file when it listens. The port alone proves nothing: another program may have the port.
  while (!existsSync(join(folder, 'nginx.pid'))) {
    if (nginx.exitCode !== null) throw new NginxError(`nginx does not start on port ${port}: ${output.trim()}`)
    await delay(20)
  }
  return nginx
}

/** A port that no program uses at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
