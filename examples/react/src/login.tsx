import type { EndReason } from 'fastify-jwt-session/client'
import { useActionState } from 'react'
import { session } from './session.ts'

const REASONS: Record<EndReason, string> = {
  logged_out: 'You have logged out.',
  expired: 'You have been logged out: the session has expired.',
  revoked: 'You have been logged out from another device.',
  replaced: 'You have been logged out: there are too many newer logins.',
  logged_in_again: 'You have logged in again in another tab.',
  invalid_token: 'You have been logged out: the server does not accept the session.',
  login_needed: 'You have been logged out: the server has changed.',
  unknown: 'You have been logged out: the server does not know the session.'
}

interface FormState {
  username: string
  failure: string
}

async function logIn(_previous: FormState, form: FormData): Promise<FormState> {
  const { username, password } = Object.fromEntries(form)
  return { username: String(username), failure: await failureOf(session.login({ username, password })) }
}

/** What to tell the user about a login; empty after a success. */
async function failureOf(login: Promise<Response>): Promise<string> {
  try {
    const { ok, status } = await login
    if (ok) return ''
    if (status === 401) return 'Wrong user name or password.'
    if (status === 429) return 'Too many attempts. Wait a little.'
    return 'The server cannot do this right now. Try again in a moment.'
  } catch {
    return 'The server cannot be reached.'
  }
}

// An action, not a mutation of a query cache: that would keep the password.
export function Login({ reason }: { reason: EndReason | null }) {
  const [{ username, failure }, action, isPending] = useActionState(logIn, { username: '', failure: '' })
  return (
    <form action={action} className="card">
      <h1>Log in</h1>
      {reason && <p role="alert">{REASONS[reason]}</p>}
      <label>
        User name{' '}
        <input name="username" defaultValue={username} autoComplete="username" autoCapitalize="none" required />
      </label>
      <label>
        Password <input name="password" type="password" autoComplete="current-password" required />
      </label>
      {failure && <p role="alert">{failure}</p>}
      <button type="submit" disabled={isPending}>
        Log in
      </button>
      <p className="hint">ada, lovelace; or grace, hopper.</p>
    </form>
  )
}
