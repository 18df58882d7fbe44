import type { RunningServer } from '../../running-server.js'
import type { ServerName } from '../../servers/index.js'
import type { Bench } from '../bench.js'
import type { Comparison } from './comparison.js'
import { compareList } from './list.js'
import { compareLogins } from './logins.js'
import { compareRefusals } from './refusals.js'

/** Measures all comparisons for which the servers are among the measured servers. */
export async function measureSideBySide(bench: Bench, servers: readonly RunningServer[]): Promise<Comparison[]> {
  const find = (wanted: ServerName) => servers.find(({ name }) => name === wanted)
  const [strict, byHand, cache, bare] = [
    find('plugin-strict'),
    find('fastify-jwt-get'),
    find('plugin-cache'),
    find('bare')
  ]
  const comparisons: Comparison[] = []
  bench.report('side by side: logins, refused tokens, lists')
  if (strict && byHand) comparisons.push(...(await compareLogins(bench, strict, byHand)))
  for (const server of [strict, cache]) if (server) comparisons.push(...(await compareRefusals(bench, server)))
  if (strict && bare) comparisons.push(await compareList(bench, strict, bare))
  return comparisons
}
