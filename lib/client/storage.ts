import type { Tab } from './tab.js'

/** Undefined when the action throws. */
export function attempt<T>(action: () => T): T | undefined {
  try {
    return action()
  } catch {}
}

/** The text of the record. */
export function readText({ page, name, memory }: Tab): string | null | undefined {
  return memory ?? attempt(() => page.localStorage.getItem(name))
}

/**
 * Stores the text of the record. In memory, and so for this page alone, while localStorage throws: in the private mode of
 * some browsers, in a sandboxed frame, and when the store is full.
 */
export function writeText(tab: Tab, text: string): void {
  const { page, name } = tab
  tab.text = text
  tab.memory = text
  attempt(() => {
    page.localStorage.setItem(name, text)
    tab.memory = undefined
  })
}
