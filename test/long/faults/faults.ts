import { CONNECTION_FAULTS } from './connections.js'
import type { Fault } from './fault.js'
import { RECORD_FAULTS } from './records.js'
import { REDIRECTIONS } from './redirections.js'
import { REFUSALS } from './refusals.js'

/** All faults of Redis. Faults of clocks are in `clocks.ts`. */
export const FAULTS: readonly Fault[] = [...CONNECTION_FAULTS, ...REFUSALS, ...REDIRECTIONS, ...RECORD_FAULTS]
