import { markdownTable } from '../../fixtures/markdown-table.js'

export type Goal = [goal: string, measured: string, isMet: boolean]

/** Prints the goals, and fails the run when a goal is missed. */
export function reportGoals(goals: readonly Goal[]): void {
  const rows = goals.map(([goal, measured, isMet]) => [goal, measured, isMet ? 'met' : 'MISSED'])
  console.log(`\n${markdownTable(['goal', 'measured', ''], rows)}`)
  process.exitCode = goals.every(([, , isMet]) => isMet) ? 0 : 1
}
