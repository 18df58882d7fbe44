import bare from './bare.js'
import type { BenchServer } from './bench-server.js'

/** The bare server in a second process: what both differ by is noise. */
export default { ...bare, title: 'Fastify route, the same in a second process' } satisfies BenchServer
