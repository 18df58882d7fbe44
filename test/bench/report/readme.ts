import { grouped } from '../measure/bench.js'
import type { ServerResults } from './results.js'

const START = '<!-- Written by `npm run bench` -->'
const END = '<!-- Until here -->'

/** The servers of the chart, by title in the results. Every server reads Redis on every request. */
const LABELS: Record<string, string> = {
  'this plugin, strict, auto-pipelining': 'this plugin',
  '@fastify/jwt and GET, by hand': '@fastify/jwt and a GET by hand',
  '@fastify/session and connect-redis': '@fastify/session, connect-redis',
  'better-auth, Redis as secondary storage': 'better-auth, secondary storage'
}

const LABEL_WIDTH = 33
const COST_WIDTH = 5
const BAR_WIDTH = 36

/** Replaces the chart in README with a new chart. */
export function updateReadme(readme: string, servers: readonly ServerResults[]): string {
  const from = readme.indexOf(START)
  const to = readme.indexOf(END)
  if (from < 0 || to < from) throw new Error(`README must have a place for the results, from ${START} to ${END}`)
  return `${readme.slice(0, from)}${START}\n\n${drawBars(servers)}\n\n${readme.slice(to)}`
}

/** CPU microseconds above the bare route, and requests per second as bars of text. A server without a measurement has no bar. */
function drawBars(servers: readonly ServerResults[]): string {
  const measured = Object.entries(LABELS).flatMap(([title, label]) => {
    const server = servers.find((server) => server.title === title)
    if (server === undefined) return []
    const { perSecond, cpuMicrosAboveBare } = server.verification
    return [{ label, perSecond: perSecond.median, micros: cpuMicrosAboveBare.median }]
  })
  const best = Math.max(...measured.map(({ perSecond }) => perSecond))
  const bars = measured.map(({ label, perSecond, micros }) => {
    const bar = '█'.repeat(Math.max(1, Math.round((perSecond / best) * BAR_WIDTH)))
    // On a noisy machine less than a microsecond may come out negative.
    const cost = micros < 1 ? '<1' : micros.toFixed(0)
    return `${label.padEnd(LABEL_WIDTH)}${cost.padStart(COST_WIDTH)} ${bar} ${grouped(perSecond)}`
  })
  return ['```text', ...bars, '```'].join('\n')
}
