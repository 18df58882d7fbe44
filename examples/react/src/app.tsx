import { useEffect } from 'react'
import { Login } from './login.tsx'
import { PrivatePage } from './private-page.tsx'
import { useSession } from './session.ts'
import { useTheme } from './stores.ts'

export function App() {
  return (
    <>
      <header>
        <strong>fastify-jwt-session</strong> <ThemeButton />
      </header>
      <main>
        <Page />
      </main>
    </>
  )
}

function Page() {
  const session = useSession()
  if (session.status === 'loading') return <p>One moment …</p>
  if (session.status === 'signed-out') return <Login reason={session.reason} />
  // The key: the state of components must not pass from one user to the next.
  return <PrivatePage key={session.user.id} user={session.user} idleExpiresAt={session.idleExpiresAt} />
}

function ThemeButton() {
  const { theme } = useTheme()
  const other = theme === 'light' ? 'dark' : 'light'
  useEffect(() => {
    document.documentElement.dataset.theme = theme
  }, [theme])
  return (
    <button type="button" onClick={() => useTheme.setState({ theme: other })}>
      {other} theme
    </button>
  )
}
