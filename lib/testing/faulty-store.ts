import { InvalidOptionError } from '../errors.js'
import { createMemoryStore } from '../store/memory-store.js'
import type {
  ChangeTracking,
  Downtime,
  DowntimeOptions,
  DowntimeWatch,
  SessionStore,
  TrackingOptions
} from '../store/session-store.js'
import { CurrentFault, type StoreFaults } from './store-faults.js'

/** A store with the methods of the inner store, and the faults. */
export type FaultyStore<Store extends SessionStore = SessionStore> = Store & StoreFaults

/**
 * Creates a session store that fails on demand, for the option `store`: `createFaultyStore()` is in memory,
 * `createFaultyStore(createRedisStore(client))` fails before Redis is called. Without a fault each call reaches the
 * inner store.
 *
 * Each function of the inner store is wrapped, so methods of later releases too. While the store does not respond, its
 * `track()` is not current and its `watchDowntime()` measures downtime, where the inner store has these methods.
 * `close()` and fields that are no functions are those of the inner store. The inner store itself is not changed.
 *
 * @param inner default: an in-memory store
 * @throws {InvalidOptionError} not a store
 */
export function createFaultyStore<Store extends SessionStore>(inner: Store): FaultyStore<Store>
/** In memory. */
export function createFaultyStore(inner?: undefined): FaultyStore<SessionStore & { close(): void }>
/** The implementation of both. */
export function createFaultyStore(inner?: SessionStore): FaultyStore<SessionStore> {
  if (inner !== undefined && typeof inner?.find !== 'function') throw new InvalidOptionError('inner', NOT_A_STORE)
  const store: SessionStore = inner ?? createMemoryStore()
  const fault = new CurrentFault()
  const faulty: Record<string, unknown> = {}
  for (const name of namesOf(store)) {
    const method: unknown = Reflect.get(store, name)
    if (typeof method !== 'function') Object.defineProperty(faulty, name, fieldOf(store, name))
    else faulty[name] = WRAPPERS[name]?.(store, fault) ?? wrapCall(store, name, fault)
  }
  const faults: StoreFaults = {
    fail: (code) => fault.fail(code),
    hang: () => fault.hang(),
    slow: (ms) => fault.slow(ms),
    readOnly: () => fault.readOnly(),
    heal: () => fault.heal()
  }
  // The other methods are those of the inner store, which the compiler cannot follow name by name.
  return Object.assign(faulty, faults) as unknown as FaultyStore
}

const NOT_A_STORE = 'must be a session store'

/** The names of all properties, those of the class of a store included. */
function namesOf(store: object): string[] {
  const names = new Set<string>()
  for (let owner = store; owner !== Object.prototype && owner !== null; owner = Object.getPrototypeOf(owner)) {
    for (const name of Object.getOwnPropertyNames(owner)) names.add(name)
  }
  return [...names]
}

function fieldOf(inner: SessionStore, name: string): PropertyDescriptor {
  return { get: () => Reflect.get(inner, name), enumerable: true }
}

type Method = (...args: unknown[]) => unknown

/** Methods of the contract that only read, also those of later releases. Every other method writes. */
const READS = /^(?:find|list|read)/

function wrapCall(inner: SessionStore, name: string, fault: CurrentFault): Method {
  const isWrite = !READS.test(name)
  return async (...args) => {
    await fault.admit({ isWrite })
    return Reflect.apply(Reflect.get(inner, name), inner, args)
  }
}

/** Methods that are no calls of the store. */
const WRAPPERS: Record<string, (inner: SessionStore, fault: CurrentFault) => unknown> = {
  track: (inner, fault) => (options: TrackingOptions) => wrapTracking(inner.track?.(options), fault),
  watchDowntime: (inner, fault) => (options: DowntimeOptions) =>
    wrapDowntime(inner.watchDowntime?.(options), fault, options),
  close: (inner) => Reflect.get(inner, 'close').bind(inner)
}

function wrapTracking(tracking: ChangeTracking | undefined, fault: CurrentFault): ChangeTracking | undefined {
  return (
    tracking && {
      attempted: tracking.attempted,
      isCurrent: (tag) => fault.isConnected && tracking.isCurrent(tag),
      close: () => tracking.close()
    }
  )
}

function wrapDowntime(
  watch: DowntimeWatch | undefined,
  fault: CurrentFault,
  { timeoutMs }: DowntimeOptions
): DowntimeWatch | undefined {
  return (
    watch && {
      attempted: watch.attempted,
      of(tag, now) {
        const known = watch.of(tag, now)
        return known && joinPeriods([...known, ...fault.downtime(now, timeoutMs)])
      },
      close: () => watch.close()
    }
  )
}

/** The same periods, the oldest first, without overlaps. */
function joinPeriods(periods: readonly Downtime[]): Downtime[] {
  const joined: Downtime[] = []
  for (const { from, to } of periods.toSorted((left, right) => left.from - right.from)) {
    const last = joined.at(-1)
    if (last !== undefined && from <= last.to) last.to = Math.max(last.to, to)
    else joined.push({ from, to })
  }
  return joined
}
