import { createHash } from 'node:crypto'
import { HELPERS } from './script-helpers.js'
import { OPERATIONS } from './script-operations.js'

/**
 * Everything that the store writes, as one Lua script: a server that can open a session can end it too, also when the
 * client has disconnected and will not send a missing script again. All keys begin with `KEYS[1]`, so they share a
 * Cluster slot and stay below the client's `keyPrefix`.
 *
 * `KEYS[1]` is the user's **head**; `ARGV` is `operation, notAfter, …arguments`. Times are epoch milliseconds by the
 * clock of Redis. The reply is an array: first the time at which the script ran, with microseconds; then the result.
 *
 * | operation | arguments | result |
 * |---|---|---|
 * | `create` | random, record, ttlMs, startedAt, max, onFull (`evict`, `reject`), replaces | `created`, evicted count; `full`; `revoked`; `too_late` |
 * | `replace` | random, record, next | `replaced`; `conflict` |
 * | `finish` | random, reason, isWaitedFor | `ended`, record; `absent` |
 * | `finishAll` | exceptRandom, atLeast (generation), isWaitedFor | `ended`, generation |
 * | `list` | | random, record, random, record, … |
 * | `probe` | random | `0` or `1`: whether there is a head; the same for the key of the session's own |
 * | `beat` | gapAfterMs, failedForMs, rememberMs | `written` or `refused`; the time in milliseconds; `last from-to from-to …`: the last beat that was written, and the periods in which no process could write |
 * | `ping` | | nothing |
 *
 * Any operation: `too_late`, with nothing changed, after `notAfter`.
 *
 * Keys of a user, `{tag}` being the hash tag:
 * - `fjs:{tag}`, the head: `generation`, then `!lag` if a `revokeAll()` has raised the generation; then ` random record` of
 *   the only session, because most users have one session and a second key would cost more memory than the record. The TTL
 *   is then the TTL of the session. A head outlives every session of the user.
 * - `fjs:{tag}random`, a session beside others: `generation record`; or, for any session that has ended, the reason.
 * - `fjs:{tag}i`, the index: a sorted set of the `random`s beside each other, by their last written activity. Only `list`
 *   and limits depend on it.
 *
 * A generation is the millisecond at which it began. A record with another generation than the head has ended. Each
 * `revokeAll()` raises the generation, so that the generation runs ahead of the clock when two calls fall into one
 * millisecond. The time of the last `revokeAll()` is therefore stored beside the generation: `lag` counts the microseconds
 * from that time to the end of the generation's millisecond, in base 36 (1 to 1,000, so 2 characters, unless the
 * generation is ahead).
 */
export const SCRIPT = `
local head, index = KEYS[1], KEYS[1] .. 'i'
local operation, notAfter = ARGV[1], tonumber(ARGV[2])

local clock = redis.call('TIME')
local microseconds = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local now = microseconds / 1000
local time = string.format('%.3f', now)

if notAfter and now > notAfter then return { time, 'too_late' } end
${HELPERS}${OPERATIONS}
return operations[operation](unpack(ARGV, 3))
`

/** The name that EVALSHA knows the script by. */
export const SCRIPT_SHA = createHash('sha1').update(SCRIPT).digest('hex')
