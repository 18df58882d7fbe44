import { useQuery } from '@tanstack/react-query'
import { Countdown } from './countdown.tsx'
import { getJson, session, type User } from './session.ts'
import { useNotes } from './stores.ts'

export function PrivatePage({ user, idleExpiresAt }: { user: User; idleExpiresAt: number | null }) {
  return (
    <>
      {/* The key: a new expiry starts without the message of the last try. */}
      {idleExpiresAt && <Countdown key={idleExpiresAt} expiresAt={idleExpiresAt} />}
      <section className="card">
        <h1>Hello, {user.name}</h1>
        <Orders />
        <Notes />
        <button type="button" onClick={() => void session.logout()}>
          Log out
        </button>
      </section>
    </>
  )
}

function Orders() {
  const { data, isError } = useQuery({
    queryKey: ['orders'],
    queryFn: ({ signal }) => getJson<string[]>('/orders', signal)
  })
  if (isError) return <p role="alert">Your orders cannot be loaded right now.</p>
  if (!data) return <p>Your orders are loading …</p>
  return (
    <ul>
      {data.map((order) => (
        <li key={order}>{order}</li>
      ))}
    </ul>
  )
}

function Notes() {
  const { text } = useNotes()
  return (
    <label>
      Notes, stored in this browser until the session ends
      <textarea rows={3} value={text} onChange={({ target }) => useNotes.setState({ text: target.value })} />
    </label>
  )
}
