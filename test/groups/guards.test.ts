import { runGroup } from '../fixtures/groups.js'

runGroup('guards')
