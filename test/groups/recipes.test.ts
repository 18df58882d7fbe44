import { runGroup } from '../fixtures/groups.js'

runGroup('recipes')
