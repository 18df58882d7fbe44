import { readFileSync } from 'node:fs'
import { cpus, loadavg, release, totalmem, type } from 'node:os'
import type { Bench } from '../measure/bench.js'
import { TURN_SECONDS } from '../settings.js'

/** The environment of the figures. */
export interface Facts {
  date: string
  machine: string
  runtimes: string
  cores: string
  loadAverageBefore: string
  method: string
  /** The versions of the measured packages. */
  packages: string
}

export function collectFacts({ settings, cores, redis }: Bench, packages: Iterable<string>): Facts {
  const { rounds, turns, connections } = settings
  const [{ model = 'unknown CPU' } = {}] = cpus()
  const gib = Math.round(totalmem() / 2 ** 30)
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: `${model.trim()}, ${cpus().length} cores, ${gib} GiB, ${type()} ${release()}`,
    runtimes: `Node ${process.versions.node}, Redis ${redis.version} on a unix socket, nothing persisted`,
    cores:
      cores === null
        ? 'not pinned: server, load generator and Redis share the cores'
        : 'the server has a core of its own; load generator, Redis and upstream share another one',
    loadAverageBefore: loadavg()[0]?.toFixed(2) ?? '',
    method: `${connections} keep-alive connections, ${rounds} rounds of ${turns} turns of ${TURN_SECONDS} s, the servers in turn`,
    packages: [...new Set(packages)]
      .toSorted()
      .map((name) => `${name} ${versionOf(name)}`)
      .join(', ')
  }
}

/** Reads the installed package.json as a file: not every package exports package.json. */
function versionOf(name: string): string {
  const root = new URL('../../../', import.meta.url)
  const own = new URL('test/bench/node_modules/', root)
  const folders =
    name === 'fastify-jwt-session' ? [root] : [new URL(`${name}/`, own), new URL(`node_modules/${name}/`, root)]
  for (const folder of folders) {
    try {
      return (JSON.parse(readFileSync(new URL('package.json', folder), 'utf8')) as { version: string }).version
    } catch {
      // Not installed here: try the next folder.
    }
  }
  throw new Error(`${name} is not installed`)
}
