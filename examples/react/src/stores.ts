import { create } from 'zustand'
import { persist } from 'zustand/middleware'

/** The user's notes, in localStorage. They end with the session: see session.ts. */
export const useNotes = create(persist(() => ({ text: '' }), { name: 'notes' }))

/** The theme of the page, in localStorage. It belongs to the browser and outlives sessions: `keep` in session.ts. */
export const useTheme = create(persist((): { theme: 'light' | 'dark' } => ({ theme: 'light' }), { name: 'theme' }))
