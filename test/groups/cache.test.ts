import { runGroup } from '../fixtures/groups.js'

runGroup('cache')
