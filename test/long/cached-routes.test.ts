import { runFolder } from '../fixtures/run-folder.js'

process.env.SESSION_CACHE = 'on'
runFolder('test/routes')
