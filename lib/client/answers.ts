import { fieldsOf, type SessionTimes } from './session-record.js'
import { sync } from './session-state.js'
import type { Tab } from './tab.js'

/** The fields of a JSON body; none for any other body. The caller can still read the body. */
export async function jsonOf(response: Response): Promise<Record<string, unknown>> {
  return fieldsOf(await response.clone().text())
}

/**
 * Milliseconds from the server's clock to the page's clock. `Date` has whole seconds, half a second too early on average: a
 * difference of up to 1 second to the last offset is none. Without a readable `Date` the clocks count as equal.
 */
export function clockOffset(tab: Tab, { headers }: Response): number {
  const next = Date.now() - Date.parse(headers.get('date') as string) - 500 || 0
  const { offset } = sync(tab)
  return Math.abs(next - (offset as number)) <= 1_000 ? (offset as number) : next
}

/** The times of a session by the page's clock, from ISO 8601; undefined for another form. */
export function timesOf(fields: Record<string, unknown>, offset: number): SessionTimes | undefined {
  const timeOf = (name: string) => Date.parse(fields[name] as string) + offset || null
  const expiresAt = timeOf('expires_at')
  return expiresAt ? { expiresAt, idleExpiresAt: timeOf('idle_expires_at'), offset } : undefined
}
