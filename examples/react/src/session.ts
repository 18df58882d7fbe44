import { QueryClient } from '@tanstack/react-query'
import { createSessionClient } from 'fastify-jwt-session/client'
import { useSyncExternalStore } from 'react'
import { useNotes } from './stores.ts'

/** The fields of the server's `userSchema`. */
export interface User {
  id: string
  name: string
}

export const queryClient = new QueryClient()

/** Outside of React: one client for each page, also in StrictMode. */
export const session = createSessionClient<User>({ keep: ['theme'] })

// What is in memory. The client itself empties localStorage and the other stores of the browser.
session.onEnd(() => {
  queryClient.clear()
  useNotes.setState(useNotes.getInitialState(), true)
})

// Vite loads an edited module once more: without the old client.
import.meta.hot?.dispose(session.close)

export function useSession() {
  return useSyncExternalStore(session.subscribe, session.getSnapshot, session.getServerSnapshot)
}

/** Calls the API with the session, for `queryFn`. The client aborts the call at the end of the session. */
export async function getJson<T>(path: string, signal: AbortSignal): Promise<T> {
  const response = await session.fetch(path, { signal })
  if (!response.ok) throw new Error(`${path}: ${response.status}`)
  return response.json()
}
