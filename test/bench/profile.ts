// The CPU profile of servers, a section each: `tsx test/bench/profile.ts <files in servers/>` for `GET /me` with a session, and
// `tsx test/bench/profile.ts --login <files in servers/>` for logins. `plugin-strict@<folder>` takes the plugin of another
// clone of the repository, which must have been built.
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { findCores } from './cores.js'
import { startGenerator } from './load/generator.js'
import { credentialOf, loginRequests, toRequest } from './load/requests.js'
import { startRedis } from './redis.js'
import { readProfile, showProfile } from './report/cpu-profile.js'
import { type RunningServer, startServer } from './running-server.js'
import type { ServerName } from './servers/index.js'
import { readSettings } from './settings.js'
import { startUpstream } from './upstream.js'

/** The end of a profile that is shown: after the start and the warm-up. */
interface Measured {
  requests: number
  seconds: number
}

const SESSIONS = 1_000
const WARM_UP_SECONDS = 2
const LOGINS_PER_SECOND = 10_000

const names = process.argv.slice(2).filter((name) => name !== '--login')
const ofLogins = process.argv.includes('--login')
const { seconds, connections } = readSettings(process.env)
console.log(`# CPU time of ${ofLogins ? 'a login' : 'a request'}, ${new Date().toISOString().slice(0, 10)}\n`)
for (const name of names) {
  const [server = '', clone] = name.split('@')
  // Throws for an unknown name.
  readSettings({ BENCH_SERVERS: server })
  const folder = await mkdtemp(join(tmpdir(), 'fjs-profile-'))
  try {
    const measured = await load(server as ServerName, folder, clone)
    console.log(`## ${server}${clone === undefined ? '' : `, commit ${commitOf(clone)}`}\n`)
    showProfile(await readProfile(folder), measured)
  } finally {
    await rm(folder, { recursive: true })
  }
}

async function load(name: ServerName, folder: string, clone: string | undefined): Promise<Measured> {
  const cores = findCores()
  const redis = await startRedis(cores)
  const upstream = await startUpstream()
  const generator = startGenerator(connections, cores?.others)
  process.env.BENCH_DIST = clone === undefined ? '' : resolve(clone, 'dist')
  try {
    const nodeOptions = ['--cpu-prof', '--cpu-prof-interval', '150', `--cpu-prof-dir=${folder}`]
    const place = { redis, upstreamUrl: upstream.url, core: cores?.server, nodeOptions }
    const server = await startServer(name, place)
    if ('notAvailable' in server) throw new Error(server.notAvailable)
    const measured = await (ofLogins ? logIn(server) : verify(server))
    await server.end()
    return measured
  } finally {
    upstream.close()
    await generator.end()
    await redis.close()
  }

  async function logIn({ port }: RunningServer): Promise<Measured> {
    const requests = loginRequests(Math.ceil(seconds * LOGINS_PER_SECOND), (index) => `user-${index}`)
    await generator.run({ port, requests })
    await redis.flush()
    const figures = await generator.run({ port, requests })
    return { requests: figures.count, seconds: figures.seconds }
  }

  async function verify({ port, tokenHeader }: RunningServer): Promise<Measured> {
    const logins = loginRequests(SESSIONS, (index) => `user-${index}`)
    const { answers } = await generator.run({ port, requests: logins, keepAnswers: true })
    const requests = answers.map((answer) => toRequest('GET', '/me', credentialOf(answer, tokenHeader)))
    const { count } = await generator.run({ port, requests, seconds, warmUpSeconds: WARM_UP_SECONDS })
    return { requests: count, seconds }
  }
}

function commitOf(clone: string): string {
  return execFileSync('git', ['-C', clone, 'rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
}
