import { splitSessionId } from '../../model/session-id.js'
import { UnexpectedReplyError } from '../check-reply.js'
import type {
  CreateOptions,
  CreateResult,
  EndReason,
  FoundRecord,
  SessionStore,
  StoredSession
} from '../session-store.js'
import { createBatchedMget, readPair } from './batched-mget.js'
import { trackRedis } from './change-tracking.js'
import { isCluster, isIoRedis, type RedisClient } from './client.js'
import { type BeatDurations, type BeatReply, watchDowntime } from './downtime-watch.js'
import { waitForReconnect } from './reconnecting-client.js'
import { NEW_GENERATION, NO_SESSION, type ScriptCall } from './script-call.js'
import { type ScriptClient, ScriptRunner } from './script-runner.js'
import { createServers, type Servers, type SessionServer } from './servers.js'
import { readStored } from './stored-session.js'

/** What every key starts with, behind the client's `keyPrefix`. */
export const KEY_START = 'fjs:{'

/**
 * Sessions in Redis 6 or later, all keys of a user in one Cluster slot. The client is used as it is and never closed; its
 * `keyPrefix` applies. Each operation is one command; only a session that is not there is looked for twice.
 */
export function createRedisStore(client: RedisClient): SessionStore {
  return new RedisStore({ client }).methods
}

/** The connections of a store. */
export interface RedisStoreParts {
  /** For reads. */
  client: RedisClient
  /** For the script: writes that Redis has paused must not hold up reads. Default: the client. */
  writer?: ScriptClient
  /** Runs the script and resolves when enough replicas have acknowledged it. Default: replicas are not waited for. */
  replicated?: ScriptClient
  /** Milliseconds after which an update does nothing any more. Default: it may be late. */
  timeoutMs?: number
}

/** See {@link createRedisStore}. */
export class RedisStore {
  readonly servers: Servers
  readonly scripts: ScriptRunner
  /** As a store: bound, so that a program can take them apart and put others in their place. */
  readonly methods: SessionStore
  readonly #mget: RedisClient['mget']
  readonly #read: ReturnType<typeof createBatchedMget>
  readonly #replicated: ScriptRunner | undefined
  readonly #timeoutMs: number

  constructor({ client, writer, replicated, timeoutMs = Number.POSITIVE_INFINITY }: RedisStoreParts) {
    const commands = waitForReconnect(client)
    const mget: RedisClient['mget'] = (...keys) => commands.mget(...keys)
    this.#mget = mget
    this.servers = createServers(client)
    this.scripts = new ScriptRunner(writer ?? commands)
    this.#replicated = replicated && new ScriptRunner(replicated)
    this.#timeoutMs = timeoutMs
    // The keys of one command must share a slot of a Cluster.
    this.#read = isCluster(client) ? (first, second) => readPair(mget, first, second) : createBatchedMget(mget)
    this.methods = {
      create: (id, record, options) => this.create(id, record, options),
      find: (id) => this.find(id),
      replace: (id, record, next) => this.replace(id, record, next),
      end: (id, reason) => this.end(id, reason),
      endAll: (tag, _reason, exceptId) => this.endAll(tag, exceptId),
      list: (tag) => this.list(tag),
      watchDowntime: (options) =>
        watchDowntime({ ...options, servers: this.servers, beat: (...args) => this.#beat(...args) }),
      ...(isIoRedis(client) && { track: (options) => trackRedis(client, KEY_START, options) })
    }
  }

  async create(id: string, record: string, options: CreateOptions): Promise<CreateResult> {
    const { expiresAt, startedMsAgo, notAfter, limit, replaces } = options
    const [tag, random] = splitSessionId(id)
    const startedAt = await this.scripts.toServerTime(performance.now() - startedMsAgo, this.#placeOf(tag))
    const ttlMs = Math.ceil(expiresAt - Date.now())
    if (ttlMs <= 0) return 'too_late'
    const result = await this.#run(
      tag,
      [
        'create',
        random,
        record,
        String(ttlMs),
        startedAt.toFixed(3),
        String(limit.max),
        limit.onFull,
        randomOf(replaces === id ? null : replaces, tag)
      ],
      performance.now() + notAfter - Date.now()
    )
    const evicted = Number(result[1] ?? 0)
    if (evicted > 0) limit.onEvicted?.(evicted)
    return checkResult(result, ['created', 'full', 'too_late', 'revoked'])
  }

  async find(id: string): Promise<FoundRecord | null> {
    const [tag, random] = splitSessionId(id)
    const head = headOf(tag)
    const [headText, ownText] = await this.#read(head, head + random)
    const found = readStored(random, headText, ownText)
    if (found === null && (headText === null || ownText === null)) {
      await this.#confirmAbsent(tag, random, { head: headText !== null, own: ownText !== null })
    }
    return found
  }

  async replace(id: string, record: string, next: string): Promise<boolean> {
    const [tag, random] = splitSessionId(id)
    const result = await this.#run(tag, ['replace', random, record, next], performance.now() + this.#timeoutMs)
    if (result[0] === 'too_late') throw new LateError()
    return checkResult(result, ['replaced', 'conflict']) === 'replaced'
  }

  // No deadline: a session that was to end may end late.
  async end(id: string, reason: EndReason): Promise<{ record: string } | null> {
    const [tag, random] = splitSessionId(id)
    const result = await this.#run(tag, ['finish', random, reason])
    const record = checkResult(result, ['ended', 'absent']) === 'ended' ? result[1] : undefined
    // Again, on the master of this moment: whichever that is.
    await this.#acknowledge(tag, ['finish', random, reason])
    return record === undefined ? null : { record }
  }

  async endAll(tag: string, exceptId: string | null): Promise<void> {
    const except = randomOf(exceptId, tag)
    const result = await this.#run(tag, ['finishAll', except, NEW_GENERATION], performance.now() + this.#timeoutMs)
    if (result[0] === 'too_late') throw new LateError()
    checkResult(result, ['ended'])
    await this.#acknowledge(tag, ['finishAll', except, String(result[1])])
  }

  async list(tag: string): Promise<StoredSession[]> {
    const values = await this.#run(tag, ['list'])
    const sessions: StoredSession[] = []
    for (let i = 0; i + 1 < values.length; i += 2) {
      sessions.push({ id: tag + values[i], record: String(values[i + 1]) })
    }
    return sessions
  }

  /** @throws {Error} what a server says that cannot run the script or cannot be read from */
  async ping(tag: string): Promise<void> {
    const head = headOf(tag)
    await readPair(this.#mget, head, head)
    await this.#run(tag, ['ping'])
  }

  async #beat(
    { name, tag }: SessionServer,
    { gapAfterMs, failedForMs, rememberMs }: BeatDurations
  ): Promise<BeatReply> {
    const call: ScriptCall = ['beat', String(gapAfterMs), String(failedForMs), String(rememberMs)]
    const result = await this.scripts.run({ key: `${headOf(tag)}beat`, server: name, call })
    const isWritten = checkResult(result, ['written', 'refused']) === 'written'
    return { isWritten, serverTime: Number(result[1]), text: String(result[2]) }
  }

  async #acknowledge(tag: string, call: ScriptCall): Promise<void> {
    const result = await this.#replicated?.run({ ...this.#placeOf(tag), call })
    if (result !== undefined) checkResult(result, ['ended', 'absent'])
  }

  /** MGET reads a key of another type as if it were not there, which would log its user out. */
  async #confirmAbsent(tag: string, random: string, seen: { head: boolean; own: boolean }): Promise<void> {
    const [head, own] = await this.#run(tag, ['probe', random])
    if (head !== String(Number(seen.head)) || own !== String(Number(seen.own))) {
      throw new UnexpectedReplyError('A key that is there and cannot be read')
    }
  }

  #run(tag: string, call: ScriptCall, notAfter?: number): Promise<string[]> {
    const run = { ...this.#placeOf(tag), call }
    return this.scripts.run(notAfter === undefined ? run : { ...run, notAfter })
  }

  #placeOf(tag: string): { key: string; server: string } {
    return { key: headOf(tag), server: this.servers.serverOf(tag) }
  }
}

/** A write that has arrived after its deadline, and changed nothing. */
class LateError extends Error {
  readonly code = 'ETIMEDOUT'
}

/** The braces put all keys of a user into one Cluster slot. */
function headOf(tag: string): string {
  return `${KEY_START}${tag}}`
}

/** Of a session of this user; else no session. */
function randomOf(id: string | null, tag: string): string {
  const [ofTag, random] = splitSessionId(id ?? '')
  return ofTag === tag ? random : NO_SESSION
}

function checkResult<const Result extends string>([result = '']: string[], known: readonly Result[]): Result {
  const found = known.find((name) => name === result)
  if (found === undefined) throw new UnexpectedReplyError('A result that is not of this operation')
  return found
}
