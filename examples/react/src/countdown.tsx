import { useEffect, useState } from 'react'
import { session } from './session.ts'

/** Seconds before the idle expiry from which on the page asks. */
const ASK_SECONDS = 30

/** Asks before the idle expiry whether the user wants to stay logged in. `expiresAt`: as in the snapshot of the session. */
export function Countdown({ expiresAt }: { expiresAt: number }) {
  const seconds = Math.max(0, Math.ceil((expiresAt - useNow()) / 1_000))
  const [hasFailed, setFailed] = useState(false)

  async function stay() {
    const isExtended = await session.extend().then(
      ({ ok }) => ok,
      () => false
    )
    setFailed(!isExtended)
  }

  if (seconds > ASK_SECONDS) return null
  return (
    <section className="card warning">
      <p role="alert">{hasFailed ? 'That did not work. Try again.' : 'Are you still there?'}</p>
      <p>
        You will be logged out in <span role="timer">{seconds}</span> s.
      </p>
      <button type="button" onClick={stay}>
        Stay logged in
      </button>
    </section>
  )
}

/** The time, in epoch milliseconds, each second. Not a count: the timers of hidden pages stand still. */
function useNow(): number {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1_000)
    return () => clearInterval(timer)
  }, [])
  return now
}
