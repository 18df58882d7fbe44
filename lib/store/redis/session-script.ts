import { createHash } from 'node:crypto'
import { KEPT_AFTER_LIFE_MS } from '../session-store.js'

/**
 * Everything the store writes, as one Lua script: `KEYS[1]` is the user's index, the arguments are the time in epoch
 * milliseconds, an operation, and what that takes. All keys it touches begin with the index's name, so it stays in one
 * Cluster slot, and below the client's `keyPrefix`. One script and not five: a server that knows how to create a session
 * knows how to end it, also when the client has given up waiting and will not send a missing script again.
 *
 * `{index}0` holds a first session and `{index}{random}` each further one: `{random} {record}`, or `{random} {reason}`
 * once it has ended. The index itself, a sorted set of what follows its name in those keys, is there only if the user
 * has had more than one: most have one, and a second key for each would cost them more memory than the record.
 */
export const SCRIPT = `
local index, now = KEYS[1], tonumber(ARGV[1])

-- GET would fail on what is not a string. Of two keys a Cluster node that has not got both of them says so while their
-- slot is on its way from one master to another; of one it would say that it is not there.
local function valueOf(member)
  return redis.call('MGET', index .. member, index)[1]
end

local function randomOf(value)
  return value and string.match(value, '^%S+')
end

-- the epoch millisecond at which a record ends; nil for anything else
local function endOf(value)
  local stamp = value and string.match(value, '^%S+ (%w+) ')
  return stamp and tonumber(stamp, 36)
end

-- the oldest first
local function members()
  local all = redis.call('ZRANGE', index, 0, -1)
  return #all > 0 and all or { '0' }
end

-- two of the oldest and two others, never the same: without a limit enough are looked at to keep the index from growing
local function some()
  local found = redis.call('ZRANGE', index, 0, 1)
  local others = redis.call('ZCARD', index) - 2
  if others < 1 then return found end
  local from = 2 + now % others
  for _, member in ipairs(redis.call('ZRANGE', index, from, from + 1)) do table.insert(found, member) end
  return found
end

local function keepFor(key, ms)
  if redis.call('PTTL', key) < ms then redis.call('PEXPIRE', key, ms) end
end

local function bury(member, reason)
  local value = valueOf(member)
  local finish = endOf(value)
  if finish then
    local epitaph = randomOf(value) .. ' ' .. reason
    local set = redis.pcall('SET', index .. member, epitaph, 'PX', math.max(1, finish - now))
    -- out of memory: rather an end without its reason than none
    if set.err then redis.call('DEL', index .. member) end
  end
  redis.call('ZREM', index, member)
end

-- WAIT is for what its connection has written: so that there is something, also where all had ended before
local function leaveTrace()
  redis.pcall('ZADD', index, 0, '')
  redis.pcall('ZREM', index, '')
end

local function isLive(member)
  local finish = endOf(valueOf(member))
  local ttl = redis.call('PTTL', index .. member)
  -- -1: somebody has removed the TTL
  return finish and (ttl > ${KEPT_AFTER_LIFE_MS} or ttl == -1 and finish > now)
end

local function sortOut(members)
  local live, dead = {}, {}
  for _, member in ipairs(members) do table.insert(isLive(member) and live or dead, member) end
  return live, dead
end

local operations = {}

function operations.create(random, record, ttl, max, reason)
  -- a client that has lost its connection sends again what it has not been answered
  for _, member in ipairs({ '0', random }) do
    if randomOf(valueOf(member)) == random then return 1 end
  end

  local live, dead = sortOut(max == '' and some() or members())
  local surplus = #live + 1 - (tonumber(max) or math.huge)
  if surplus > 0 and reason == '' then return 0 end

  local isFirst = not valueOf('0') and redis.call('EXISTS', index .. '0') == 0
  local member = isFirst and '0' or random
  local value = random .. ' ' .. record
  -- before any other write: after one Redis no longer says that it is out of memory
  redis.call('SET', index .. member, value, 'PX', ttl)
  for i = 1, surplus do bury(live[i], reason) end
  for _, past in ipairs(dead) do redis.call('ZREM', index, past) end

  local newest = tonumber(redis.call('ZRANGE', index, -1, -1, 'WITHSCORES')[2])
  if isFirst and not newest then return 1 end
  if not newest then
    newest = endOf(valueOf('0')) or 0
    if newest > 0 then redis.call('ZADD', index, newest, '0') end
  end
  -- in the order of creation, also within a millisecond
  redis.call('ZADD', index, math.max(endOf(value), newest + 1), member)
  keepFor(index, math.max(tonumber(ttl), redis.call('PTTL', index .. '0')))
  return 1
end

function operations.replace(random, record, next, ttl)
  for _, member in ipairs({ '0', random }) do
    if valueOf(member) == random .. ' ' .. record and isLive(member) then
      redis.call('SET', index .. member, random .. ' ' .. next, 'PX', ttl)
      keepFor(index, tonumber(ttl))
      return 1
    end
  end
  return 0
end

function operations.finish(random, reason, isWaitedFor)
  for _, member in ipairs({ '0', random }) do
    if randomOf(valueOf(member)) == random then bury(member, reason) end
  end
  if isWaitedFor then leaveTrace() end
end

function operations.finishAll(except, reason, isWaitedFor)
  for _, member in ipairs(members()) do
    if randomOf(valueOf(member)) ~= except then bury(member, reason) end
  end
  if isWaitedFor then leaveTrace() end
end

function operations.list()
  local found = {}
  for _, member in ipairs(members()) do
    local value = valueOf(member)
    if endOf(value) then found[#found + 1] = value end
    -- it has expired; a server that may only be read from keeps it
    if not value then redis.pcall('ZREM', index, member) end
  end
  return found
end

return operations[ARGV[2]](unpack(ARGV, 3))
`

/** Behind the other arguments of `finish` and `finishAll`: they will be followed by WAIT. */
export const IS_WAITED_FOR = '1'

/** The name that EVALSHA knows the script by. */
export const SCRIPT_SHA = createHash('sha1').update(SCRIPT).digest('hex')
