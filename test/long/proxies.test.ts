import { runFolder } from '../fixtures/run-folder.js'

// Starts a program for most tests, and covers nothing of lib.
runFolder('test/examples')
