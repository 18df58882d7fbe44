import type { Redis } from 'ioredis'
import { DOWN, ENDED, type Fault, PARTLY, type Stage, WORKS } from './fault.js'
import { USER_AGENT } from './subject.js'

/** Redis has lost or changed records. Lost sessions have ended: lost records are no outage. */
export const RECORD_FAULTS: readonly Fault[] = [
  lost('flushed', ({ operator }) => operator.flushall()),
  lost('evicted', async ({ operator }) => {
    await operator.config('SET', 'maxmemory-policy', 'allkeys-lru')
    await operator.config('SET', 'maxmemory', '1')
    await operator.set('one more', '', 'PX', 1).catch(() => {})
    await operator.config('SET', 'maxmemory', '0')
    if ((await operator.dbsize()) > 0) throw new Error('Not everything was evicted')
  }),
  {
    ...lost('corrupt records', ({ operator }) =>
      changeRecords(operator, (key, record) => operator.set(key, record.slice(0, -3), 'KEEPTTL'))
    ),
    reason: null
  },
  {
    // An unreadable record is no proof of a missing session.
    name: 'records of another type',
    during: { ...DOWN, login: [200] },
    afterwards: 401,
    start: ({ operator }) =>
      changeRecords(operator, (key) => operator.multi().del(key).lpush(key, 'a').pexpire(key, 60_000).exec()),
    async end({ operator }) {
      for (const key of await operator.keys('fjs:*')) if ((await operator.type(key)) === 'list') await operator.del(key)
    }
  },
  {
    name: 'huge records',
    during: PARTLY,
    maxParallel: 10,
    start: ({ operator }) =>
      changeRecords(operator, (key, record) =>
        operator.set(key, record.replace(USER_AGENT, 'x'.repeat(100_000)), 'KEEPTTL')
      )
  },
  {
    name: 'no TTL',
    during: WORKS,
    start: ({ operator }) => changeRecords(operator, (key) => operator.persist(key))
  }
]

function lost(name: string, start: (stage: Stage) => unknown): Fault {
  return { name, during: ENDED, afterwards: 401, start }
}

async function changeRecords(
  operator: Redis,
  change: (key: string, record: string) => Promise<unknown>
): Promise<void> {
  for (const key of await operator.keys('fjs:*')) {
    // The beat is not a record.
    if (key.endsWith('beat')) continue
    const record = await operator.get(key).catch(() => null)
    if (record !== null) await change(key, record)
  }
}
