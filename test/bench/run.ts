import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { findCores } from './cores.js'
import { startGenerator } from './load/generator.js'
import type { Bench } from './measure/bench.js'
import { type Commands, checkServer } from './measure/check-server.js'
import { measureGrowth } from './measure/growth.js'
import { measureLogins } from './measure/login-and-logout.js'
import { measureMemory } from './measure/memory.js'
import { describeNoise, isTooNoisy, noiseOf } from './measure/noise.js'
import { measureRevocation } from './measure/revocation.js'
import { measureSideBySide } from './measure/side-by-side/index.js'
import { measureVerification, type VerificationRound } from './measure/verification.js'
import { startRedis } from './redis.js'
import { drawChart } from './report/chart.js'
import { collectFacts } from './report/facts.js'
import { updateReadme } from './report/readme.js'
import { type Results, summarise, summariseGrowth } from './report/results.js'
import { drawTables } from './report/table.js'
import { type RunningServer, startServer } from './running-server.js'
import type { ServerName } from './servers/index.js'
import { MIN_ROUNDS, readSettings } from './settings.js'
import { startUpstream } from './upstream.js'

const settings = readSettings(process.env)
const results = await measureAll()
const tables = drawTables(results)
console.log(tables)
if (isTooNoisy(results.noise)) {
  console.error(`Not written: the machine is too noisy. ${describeNoise(results.noise)}`)
  process.exitCode = 1
} else if (settings.rounds < MIN_ROUNDS) {
  console.error(`Not written: ${MIN_ROUNDS} rounds are necessary`)
} else {
  await writeResults()
}

async function measureAll(): Promise<Results> {
  const cores = findCores()
  const redis = await startRedis(cores)
  const upstream = await startUpstream()
  const generator = startGenerator(settings.connections, cores?.others)
  const report = (text: string) => console.error(text)
  try {
    return await measureWith({ settings, cores, redis, upstreamUrl: upstream.url, generator, report })
  } finally {
    upstream.close()
    await generator.end()
    await redis.close()
  }
}

async function measureWith(bench: Bench): Promise<Results> {
  const notAvailable: string[] = []
  const checked = new Map<RunningServer, Commands>()
  try {
    for (const name of settings.servers) {
      const server = await startServer(name, { ...bench, core: bench.cores?.server })
      if ('notAvailable' in server) notAvailable.push(server.notAvailable)
      else checked.set(server, await checkServer(bench, server))
    }
    for (const text of notAvailable) bench.report(text)

    const servers = [...checked.keys()]
    const facts = collectFacts(
      bench,
      servers.flatMap(({ packages }) => packages)
    )
    const verification = await measureVerification(bench, servers)
    const noise = noiseOf(roundsOf('bare', verification), roundsOf('bare-copy', verification))
    bench.report(describeNoise(noise))
    const comparisons = await measureSideBySide(bench, servers)
    const logins = await measureLogins(bench, servers)
    const summaries = [...checked].map(([server, commands]) => {
      const measured = { verification: verification.get(server) ?? [], logins: logins.get(server) ?? [] }
      return summarise({ server, commands, ...measured })
    })
    const revocation = await measureRevocation(bench)
    const growth = await measureGrowth(bench)
    const memory = growth.length === 0 ? null : await measureMemory(bench)
    const measured = { noise, comparisons, revocation, memory, growth: summariseGrowth(growth) }
    return { facts, servers: summaries, ...measured, notAvailable }
  } finally {
    for (const server of checked.keys()) await server.end()
  }
}

function roundsOf(name: ServerName, rounds: Map<RunningServer, VerificationRound[]>): VerificationRound[] {
  return [...rounds].find(([server]) => server.name === name)?.[1] ?? []
}

async function writeResults(): Promise<void> {
  const folder = new URL('results/', import.meta.url)
  await mkdir(folder, { recursive: true })
  await writeFile(new URL('results.md', folder), tables)
  await writeFile(new URL('requests-per-second.svg', folder), drawChart(results))
  const readme = new URL('../../README.md', import.meta.url)
  await writeFile(readme, updateReadme(await readFile(readme, 'utf8'), results.servers))
}
