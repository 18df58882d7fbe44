import { runFolder } from '../../fixtures/run-folder.js'

runFolder(import.meta.dirname)
