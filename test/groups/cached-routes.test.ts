import { runGroup } from '../fixtures/groups.js'

runGroup('routes', { cached: true })
