import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { freePort } from '../../examples/demo/nginx.js'
import type { Teardown } from '../fixtures/redis/start-redis.js'

const run = promisify(execFile)

/** The proxies of examples/gateway, by the names of their programs. */
export type ProxyName = 'nginx' | 'caddy'

/** Where Debian has programs for root. */
const PATH = `${process.env.PATH}:/usr/sbin`

const VERSION: Record<ProxyName, { args: string[]; output: RegExp }> = {
  nginx: { args: ['-v'], output: /^nginx version: / },
  caddy: { args: ['version'], output: /^v?\d+\.\d+/ }
}

const found = new Map<ProxyName, Promise<string>>()

/**
 * The program that `NGINX` or `CADDY` names, else the program on the PATH, else the package of Debian, installed as root.
 *
 * @throws Error of one sentence that names the command to run, when there is no such program
 */
export function findProxy(name: ProxyName): Promise<string> {
  const program = found.get(name) ?? find(name)
  found.set(name, program)
  return program
}

async function find(name: ProxyName): Promise<string> {
  const variable = name.toUpperCase()
  const named = process.env[variable]
  if (named) {
    if (await isProxy(name, named)) return named
    throw new Error(`${variable} does not run: set it to the path of ${name}`)
  }
  return (await findOnPath(name)) ?? (await install(name))
}

async function findOnPath(name: ProxyName): Promise<string | null> {
  const { stdout } = await run('which', [name], { env: { ...process.env, PATH } }).catch(() => ({ stdout: '' }))
  const path = stdout.trim()
  return path && (await isProxy(name, path)) ? path : null
}

async function isProxy(name: ProxyName, path: string): Promise<boolean> {
  const { args, output } = VERSION[name]
  const { stdout, stderr } = await run(path, args, { timeout: 60_000 }).catch(() => ({ stdout: '', stderr: '' }))
  return output.test(stdout || stderr)
}

async function install(name: ProxyName): Promise<string> {
  let cause: unknown
  if (process.getuid?.() === 0) {
    const options = { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }, maxBuffer: 2 ** 26 }
    try {
      await run('apt-get', ['update'], options)
      await run('apt-get', ['install', '-y', '--no-install-recommends', name], options)
    } catch (error) {
      cause = error
    }
  }
  const path = await findOnPath(name)
  if (path) return path
  throw new Error(
    `The gateway tests need ${name}: run \`apt-get install -y --no-install-recommends ${name}\` as root, or set ` +
      `${name.toUpperCase()} to the path of the program`,
    { cause }
  )
}

/** Ports of the servers that an example names. */
export interface Ports {
  authenticator: number
  service: number
}

/** A proxy that runs an example. */
export interface Gateway {
  port: number
  /** What the program has written. */
  output(): string
}

/** Changes of an example, each of which must be a text of the example. */
export type Changes = Record<string, string>

/** Runs a proxy with its example, on free ports, and ends the program at teardown. */
export async function startGateway(
  t: Teardown,
  name: ProxyName,
  { authenticator, service }: Ports,
  changes: Changes = {}
): Promise<Gateway> {
  const program = await findProxy(name)
  const port = await freePort()
  const folder = await mkdtemp(join(tmpdir(), 'fjs-gateway-'))
  // The workers of nginx run as another user.
  await chmod(folder, 0o777)
  const file = join(folder, name === 'nginx' ? 'nginx.conf' : 'Caddyfile')
  const example = await readFile(join('examples', 'gateway', name === 'nginx' ? 'nginx.conf' : 'Caddyfile'), 'utf8')
  const all = {
    ...changes,
    // In this order: the port of the authenticator may begin with 4000.
    '127.0.0.1:4000': `127.0.0.1:${service}`,
    '127.0.0.1:3000': `127.0.0.1:${authenticator}`,
    ...(name === 'nginx' ? nginxChanges(folder, port) : { '\n:8080 {': `\n{\n\tadmin off\n}\n:${port} {` })
  }
  await writeFile(file, replaceAll(example, all))
  const args =
    name === 'nginx'
      ? ['-p', folder, '-c', file, '-e', 'stderr', '-g', `daemon off; pid ${join(folder, 'pid')}; error_log stderr;`]
      : ['run', '--config', file, '--adapter', 'caddyfile']
  const env = { ...process.env, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder }
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  const exited = once(child, 'exit')
  t.teardown(async () => {
    child.kill()
    if (child.exitCode === null) await exited
    await rm(folder, { recursive: true })
  })
  while (!(await isOpen(port))) {
    if (child.exitCode !== null) throw new Error(`${name} ended: ${output}`)
    await delay(20)
  }
  return { port, output: () => output }
}

/** What an installed nginx has elsewhere: only root may write there. */
function nginxChanges(folder: string, port: number): Changes {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${join(folder, name)};`
  )
  return { 'listen 8080': `listen 127.0.0.1:${port}`, '\nhttp {': `\nhttp {\naccess_log off;\n${temporary.join('\n')}` }
}

function replaceAll(text: string, changes: Changes): string {
  return Object.entries(changes).reduce((changed, [from, to]) => {
    if (!changed.includes(from)) throw new Error(`The example has no ${JSON.stringify(from)}`)
    return changed.replaceAll(from, () => to)
  }, text)
}

function isOpen(port: number): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}/user/`).then(
    () => true,
    () => false
  )
}
