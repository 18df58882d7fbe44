// npm run test:streams -- [streams, 2,000 by default]: half of the sessions end in another process.
import Fastify from 'fastify'
import { fastifyJwtSession, type Session } from '../../../lib/index.js'
import { SECRET } from '../../fixtures/planted-secrets.js'
import { readEvents } from '../../fixtures/read-events.js'
import { startRedis } from '../../fixtures/redis/start-redis.js'
import { upstream } from '../../fixtures/tokens.js'
import { until } from '../../fixtures/until.js'
import { withTeardown } from '../../fixtures/with-teardown.js'
import { startMeasuredApp } from '../soak/measured-app.js'
import { reportGoals } from '../soak/report-goals.js'

const MAX_KIB = 20
/** Streams of a warm-up, which loads code and allocates buffers. */
const WARM_UP = 300
/** Sessions that end at the same time, as with `revokeAll()`. */
const AT_ONCE = 20

const streams = Number(process.argv[2] ?? 2_000)

await withTeardown(async (t) => {
  const redis = await startRedis(t)
  const options = { redis: { url: redis.socketPath }, routes: { events: {} } }
  const measured = await startMeasuredApp(t, { ...options, upstream: { baseUrl: 'http://127.0.0.1:1' } })
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifyJwtSession, { jwt: { secret: SECRET }, ...options, upstream })
  const url = `http://127.0.0.1:${measured.port}`

  async function open(user: string) {
    const { token, session } = await app.sessions.create({ id: user })
    return { session, stream: await readEvents(t, url, { authorization: `Bearer ${token}` }) }
  }
  async function openAll(count: number, name: string) {
    const opened: Awaited<ReturnType<typeof open>>[] = []
    for (let i = 0; i < count; i += AT_ONCE) {
      opened.push(...(await Promise.all(Array.from({ length: AT_ONCE }, (_, j) => open(`${name} ${i + j}`)))))
    }
    return opened
  }

  for (const { stream } of await openAll(WARM_UP, 'warm')) stream.close()
  await until(async () => (await measured.figures()).httpSockets === 0, 60)
  const before = await measured.figures()
  const opened = await openAll(streams, 'user')
  const during = await measured.figures()
  const kib = (during.rssBytes - before.rssBytes) / 1_024 / opened.length

  const [ended, kept] = [opened.filter((_, i) => i % 2 === 0), opened.filter((_, i) => i % 2 === 1)]
  const delays: number[] = []
  async function end({ session, stream }: { session: Session; stream: (typeof opened)[0]['stream'] }) {
    const startedAt = performance.now()
    await app.sessions.revoke(session.id)
    await stream.over
    delays.push(performance.now() - startedAt)
  }
  for (let i = 0; i < ended.length; i += AT_ONCE) await Promise.all(ended.slice(i, i + AT_ONCE).map(end))
  const isNotified = ({ stream }: (typeof opened)[0]) =>
    JSON.stringify(stream.events().slice(1)) === '[{"event":"ended","data":{"reason":"revoked"}}]'
  const isSilent = ({ stream }: (typeof opened)[0]) => stream.events().length === 1 && !stream.isOver()
  delays.sort((left, right) => left - right)
  const at = (share: number) => `${(delays[Math.floor(delays.length * share)] ?? Number.NaN).toFixed(1)} ms`
  console.log(`${delays.length} ends: p50 ${at(0.5)}, p99 ${at(0.99)}, slowest ${at(0.9999)}`)
  const notified = ended.filter(isNotified).length
  const silent = kept.filter(isSilent).length
  reportGoals([
    ['each end is delivered, with its reason', `${notified} of ${ended.length}`, notified === ended.length],
    ['no other stream gets an event', `${silent} of ${kept.length} silent`, silent === kept.length],
    [`a stream takes at most ${MAX_KIB} KiB`, `${kib.toFixed(1)} KiB`, kib <= MAX_KIB]
  ])
})
process.exit()
