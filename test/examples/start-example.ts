import { join } from 'node:path'
import type { Test } from 'tap'
import { startProgram } from '../fixtures/start-program.js'

/** Runs `examples/<name>.ts`, and resolves to the URL that it prints: compiled, where the tests are. */
export function startExample(t: Test, name: string, env: Record<string, string>): Promise<string> {
  const isCompiled = import.meta.filename.endsWith('.js')
  const compiled = join(import.meta.dirname, '..', '..', 'examples', `${name}.js`)
  return startProgram(t, isCompiled ? [compiled] : ['--import', 'tsx', `examples/${name}.ts`], env)
}
