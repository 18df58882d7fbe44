import { createHash } from 'node:crypto'
import { NO_DEADLINE } from './script-call.js'
import { HELPERS, TOKENS_SUFFIX } from './script-helpers.js'
import { OPERATIONS } from './script-operations.js'

/**
 * All writes of the store, as one Lua script: a server that can open a session can also end a session, even after a
 * client that would send a missing script has disconnected. All keys begin with `KEYS[1]`, so that the keys share a
 * Cluster slot and the client's `keyPrefix`.
 *
 * `KEYS[1]` is the user's **head**; `ARGV` is `operation, notAfter, …arguments`. Times are epoch milliseconds by the
 * clock of Redis. The reply is an array: the time at which the script ran, with microseconds, then the result.
 *
 * | operation | arguments | result |
 * |---|---|---|
 * | `create` | random, record, ttlMs, startedAt, max, onFull, replaces, tokens | `created`, evicted, hasReplaced; `full`; `revoked` |
 * | `replace` | random, record, next | `replaced`; `conflict` |
 * | `writeTokens` | random, tokens, previous | `written`; `conflict` |
 * | `endOne` | random, reason, wait | `ended`, record; `absent` |
 * | `endAll` | exceptRandom, atLeast, wait | `ended`, generation |
 * | `list` | | random, record, random, record, … |
 * | `exists` | random | `0` or `1` for the head; `0` or `1` for the session's own key |
 * | `beat` | gapAfterMs, failedForMs, rememberMs | `written` or `refused`, whole milliseconds, periods |
 * | `ping` | | nothing |
 *
 * - `notAfter`: a time, or `none`. After that time every operation changes nothing, and the result is `too_late`.
 * - `onFull`: `evict` or `reject`. `evicted` is a number, `hasReplaced` is `0` or `1`.
 * - `replaces`, `exceptRandom`: the `random` of a session, or `none`.
 * - `tokens`, `previous`: the upstream's tokens of the session, or empty for none.
 * - `atLeast`: `new`, or a generation. `endAll` changes nothing when the user has that generation already.
 * - `wait`: `wait`, or absent. With `wait` an operation writes in any case, for the WAIT that follows.
 * - periods: `last from-to from-to …`, the last heartbeat that was written, then the periods in which no process could
 *   write.
 *
 * `script-call.ts` has the same table as types.
 *
 * Keys of a user, `{tag}` being the hash tag:
 * - `fjs:{tag}`, the head: `generation`, then `!lag` if a `revokeAll()` has raised the generation; then
 *   ` random record` of the only session, because most users have one session and a second key would cost more memory
 *   than the record. The TTL is then the TTL of the session. With several sessions, `~time`: before that time none of
 *   them expires. A head outlives every session of the user.
 * - `fjs:{tag}random`, the session's own key when the user has several sessions: `generation record`; for any session
 *   that has ended, the reason (a tombstone).
 * - `fjs:{tag}l`, the index: a list of the `random`s of several sessions, the oldest written activity first. A sorted
 *   set would take five times the memory. Only `list` and the limit depend on the index. The limit counts the members,
 *   and reads each session only after the earliest expiry, or to reject a login.
 * - `fjs:{tag}random.t`: the upstream's tokens of the session, with the TTL of the session. The operation that ends the
 *   session deletes the key.
 * - `fjs:{tag}.t`: a sorted set of the `random`s of sessions with tokens, by the end of their TTL, for `endAll`. Most
 *   users have no such set.
 *
 * A generation is the millisecond of its beginning. A record with another generation than the head has ended. Each
 * `revokeAll()` raises the generation, so that the generation runs ahead of the clock when two calls fall into one
 * millisecond. The time of the last `revokeAll()` is therefore stored beside the generation: `lag` counts the
 * microseconds from that time to the end of the generation's millisecond, in base 36 (1 to 1,000, so at most 2
 * characters, unless the generation is ahead).
 */
export const SCRIPT = `
local head, index, holders = KEYS[1], KEYS[1] .. 'l', KEYS[1] .. '${TOKENS_SUFFIX}'
local operation, notAfter = ARGV[1], ARGV[2]

local clock = redis.call('TIME')
local microseconds = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local now = microseconds / 1000
local time = string.format('%.3f', now)

if notAfter ~= '${NO_DEADLINE}' and now > tonumber(notAfter) then return { time, 'too_late' } end
${HELPERS}${OPERATIONS}`

/** The SHA-1 digest of the script, for EVALSHA. */
export const SCRIPT_SHA = createHash('sha1').update(SCRIPT).digest('hex')
