import { runGroup } from '../fixtures/groups.js'

runGroup('sessions', { cached: true })
