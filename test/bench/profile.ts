// `tsx test/bench/profile.ts <files in servers/>`: the CPU profile of the servers for `GET /me` with a session.
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { markdownTable } from '../fixtures/markdown-table.js'
import { findCores } from './cores.js'
import { startGenerator } from './load/generator.js'
import { credentialOf, loginRequests, toRequest } from './load/requests.js'
import { startRedis } from './redis.js'
import { startServer } from './running-server.js'
import type { ServerName } from './servers/index.js'
import { readSettings } from './settings.js'
import { startUpstream } from './upstream.js'

interface CpuProfile {
  nodes: { id: number; callFrame: { functionName: string; url: string; lineNumber: number } }[]
  samples: number[]
  /** Microseconds. */
  timeDeltas: number[]
  startTime: number
  endTime: number
}

const SESSIONS = 1_000
const WARM_UP_SECONDS = 2
const SHOWN = 15

const names = process.argv.slice(2)
const { servers, seconds, connections } = readSettings({ ...process.env, BENCH_SERVERS: names.join(',') })
console.log(`# CPU time of a request, ${new Date().toISOString().slice(0, 10)}\n`)
for (const server of servers.filter((name) => names.includes(name))) {
  const folder = await mkdtemp(join(tmpdir(), 'fjs-profile-'))
  try {
    const requests = await load(server, folder)
    console.log(`## ${server}\n`)
    show(await readProfile(folder), requests)
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** @returns the number of replies */
async function load(name: ServerName, folder: string): Promise<number> {
  const cores = findCores()
  const redis = await startRedis(cores)
  const upstream = await startUpstream()
  const generator = startGenerator(connections, cores?.others)
  try {
    const nodeOptions = ['--cpu-prof', '--cpu-prof-interval', '200', `--cpu-prof-dir=${folder}`]
    const place = { redis, upstreamUrl: upstream.url, core: cores?.server, nodeOptions }
    const server = await startServer(name, place)
    if ('notAvailable' in server) throw new Error(server.notAvailable)
    const { port, tokenHeader } = server
    const logins = loginRequests(SESSIONS, (index) => `user-${index}`)
    const { answers } = await generator.run({ port, requests: logins, keepAnswers: true })
    const requests = answers.map((answer) => toRequest('GET', '/me', credentialOf(answer, tokenHeader)))
    const { count } = await generator.run({ port, requests, seconds, warmUpSeconds: WARM_UP_SECONDS })
    await server.end()
    return count
  } finally {
    upstream.close()
    await generator.end()
    await redis.close()
  }
}

/** Reads the profile of the main thread. The TypeScript loader has a separate profile. */
async function readProfile(folder: string): Promise<CpuProfile> {
  const profiles = await Promise.all(
    (await readdir(folder)).map(async (file) => JSON.parse(await readFile(join(folder, file), 'utf8')) as CpuProfile)
  )
  const ofMain = profiles.find(({ nodes }) => nodes.some(({ callFrame }) => callFrame.url.includes('/fastify.js')))
  const ofServer =
    ofMain ?? profiles.find(({ nodes }) => nodes.some(({ callFrame }) => callFrame.url.includes('serve.ts')))
  if (ofServer === undefined) throw new Error('There is no profile of the server')
  return ofServer
}

function show({ nodes, samples, timeDeltas, startTime, endTime }: CpuProfile, requests: number): void {
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]))
  const byFunction = new Map<string, number>()
  const byFile = new Map<string, number>()
  let time = startTime
  for (const [index, id] of samples.entries()) {
    const micros = timeDeltas[index] ?? 0
    time += micros
    const frame = frames.get(id)
    // The load is at the end of the profile, after the start and a warm-up.
    if (frame === undefined || frame.functionName === '(idle)' || time < endTime - seconds * 1e6) continue
    const file = shortened(frame.url)
    add(byFile, file, micros)
    add(byFunction, `${frame.functionName || '(anonymous)'} ${file}:${frame.lineNumber + 1}`, micros)
  }
  print('file', byFile, requests)
  print('function', byFunction, requests)
}

function add(sums: Map<string, number>, key: string, micros: number): void {
  sums.set(key, (sums.get(key) ?? 0) + micros)
}

function print(title: string, sums: Map<string, number>, requests: number): void {
  const inOrder = [...sums].toSorted(([, a], [, b]) => b - a)
  const rows = inOrder.slice(0, SHOWN).map(([key, micros]) => [key, (micros / requests).toFixed(2)])
  const all = inOrder.reduce((sum, [, micros]) => sum + micros, 0)
  console.log(`${markdownTable([title, 'µs'], [...rows, ['all', (all / requests).toFixed(2)]])}\n`)
}

function shortened(url: string): string {
  const root = new URL('../../', import.meta.url)
  return url.replace(root.href, '').replace(fileURLToPath(root), '') || '(native)'
}
