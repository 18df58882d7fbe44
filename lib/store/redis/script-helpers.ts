/** The TTL for a key whose TTL an operator has removed, in milliseconds: the script writes no key without a TTL. */
const TTL_OF_PERSISTED_MS = 31 * 24 * 3_600_000
/** The end of every key for tokens. No other key ends so: the random part of a session id has no `.`. */
export const TOKENS_SUFFIX = '.t'
/** The number of keys in one command of the script. */
export const CHUNK = 100

/** Lua: functions that read and write the keys of a user. `session-script.ts` explains the keys. */
export const HELPERS = `
local function base36(number)
  local digits = ''
  while number > 0 do
    local digit = number % 36
    digits = string.sub('0123456789abcdefghijklmnopqrstuvwxyz', digit + 1, digit + 1) .. digits
    number = (number - digit) / 36
  end
  return digits
end

-- Reads two keys: while a slot moves from one Cluster master to another, a master that lacks a key replies with an
-- error to two keys, and with "no such key" to one key. A key of another type reads as false.
local function get(key)
  return redis.call('MGET', key, head)[1]
end

-- With get(): on a Cluster master without the index, LRANGE alone would find no members.
local function readIndex()
  get(index)
  return redis.call('LRANGE', index, 0, -1)
end

-- A tombstone is the reason in the place of a record.
local function isTombstone(value)
  return value and string.find(value, '^[%l_]+$')
end

-- The result of PTTL as a TTL that a key may get.
local function toTtl(left)
  return left == -1 and ${TTL_OF_PERSISTED_MS} or math.max(1, left)
end

local function ttlOf(key)
  return toTtl(redis.call('PTTL', key))
end

local function setKeepingTtl(key, value)
  redis.call('SET', key, value, 'PX', ttlOf(key))
end

local function parseHead(text)
  if not text then
    if redis.call('EXISTS', head) == 1 then error('the key of a user is not a string') end
    return {}
  end
  local generation, rest = string.match(text, '^(%w%w%w%w%w%w%w%w)(.*)$')
  local lag, afterLag = string.match(rest or '', '^!(%w*)(.*)$')
  local earliest, afterTime = string.match(afterLag or rest or '', '^~(%d+)(.*)$')
  local member, record = string.match(afterTime or afterLag or rest or '', '^ (%S+) (.+)$')
  return {
    generation = generation,
    lag = lag,
    earliest = earliest and tonumber(earliest),
    member = member,
    record = record,
    isCorrupt = not generation
  }
end

local function readUser()
  return parseHead(get(head))
end

-- The time of the last revokeAll(): never ahead of the clock. The generation may be ahead.
local function revokedAt(user)
  if not user.lag then return 0 end
  return tonumber(user.generation, 36) + 1 - (tonumber(user.lag, 36) or 1000) / 1000
end

local function raiseGeneration(user, generation)
  user.generation, user.lag = base36(generation), base36((generation + 1) * 1000 - microseconds)
end

local function formatHead(user)
  local text = user.lag and user.generation .. '!' .. user.lag or user.generation
  if user.member then return text .. ' ' .. user.member .. ' ' .. user.record end
  return user.earliest and text .. '~' .. string.format('%.0f', user.earliest) or text
end

-- A millisecond early: the clock of a key's expiry has whole milliseconds.
local function expiryOf(ttl)
  return math.floor(now + ttl) - 1
end

-- The generation and the record of a session with its own key.
local function parseOwn(value)
  return string.match(value or '', '^(%w%w%w%w%w%w%w%w) (.+)$')
end

local function recordIn(user, own)
  local generation, record = parseOwn(own)
  return generation == user.generation and record or nil
end

local function recordOf(user, member)
  return recordIn(user, get(head .. member))
end

local function keepFor(key, ttl)
  if redis.call('PTTL', key) < ttl then redis.call('PEXPIRE', key, math.floor(ttl)) end
end

-- The member is not in the index.
local function addToIndex(member, ttl)
  redis.call('RPUSH', index, member)
  keepFor(index, ttl)
end

-- Returns the number of removed members. From the end: a session that ends or is active was mostly active lately.
local function removeFromIndex(member)
  return redis.call('LREM', index, -1, member)
end

local function tokensOf(member)
  return head .. member .. '${TOKENS_SUFFIX}'
end

-- Each call adds at most one member to the set, and removes at most two members whose tokens have expired.
local function storeTokens(member, tokens, ttl)
  redis.call('SET', tokensOf(member), tokens, 'PX', ttl)
  for _, oldest in ipairs(redis.call('ZRANGE', holders, 0, 1)) do
    if redis.call('EXISTS', tokensOf(oldest)) == 0 then redis.call('ZREM', holders, oldest) end
  end
  redis.call('ZADD', holders, string.format('%.0f', now + ttl), member)
  keepFor(holders, ttl)
end

local function deleteTokens(member)
  redis.call('ZREM', holders, member)
  redis.call('DEL', tokensOf(member))
end

-- Removes a session from the keys that name several sessions.
local function forget(member)
  removeFromIndex(member)
  deleteTokens(member)
end

-- Moves the only session from the head to its own key.
local function moveOutOfHead(user, ttl)
  redis.call('SET', head .. user.member, user.generation .. ' ' .. user.record, 'PX', ttl)
  user.member, user.record = nil, nil
end

-- With forget(). Ends a corrupt record too. A record of another generation has ended before.
local function endRecord(user, member, reason)
  local value = get(head .. member)
  local generation, record = parseOwn(value)
  local isCurrent = generation == nil or generation == user.generation
  if value and not isTombstone(value) and isCurrent then setKeepingTtl(head .. member, reason) end
  return isCurrent and record or nil
end

-- WAIT waits for the last write of its connection: so there is a write, also when all sessions had ended before.
local function touchForWait()
  redis.pcall('RPUSH', index, '')
  redis.pcall('LREM', index, -1, '')
end

local function keysOf(members, from)
  local keys = {}
  for i = from, math.min(from + ${CHUNK - 1}, #members) do keys[#keys + 1] = head .. members[i] end
  return keys
end

-- The number of live sessions without the replaced session, and the oldest of them, when no member has expired: as
-- many as a new session may replace, and one more.
local function readOldest(members, replaces, max)
  local replaced = get(head .. replaces)
  local count = replaced and not isTombstone(replaced) and members - 1 or members
  local oldest = {}
  for _, member in ipairs(redis.call('LRANGE', index, 0, members + 1 - max)) do
    if member ~= replaces then oldest[#oldest + 1] = member end
  end
  return count, oldest
end

-- The live sessions without the replaced session, the oldest activity first; the members of the index without a key;
-- and the earliest expiry.
local function readMembers(user, replaces)
  if user.member then return user.member == replaces and {} or { user.member }, {} end
  local live, dead, earliest = {}, {}, nil
  for _, member in ipairs(readIndex()) do
    local left = redis.call('PTTL', head .. member)
    if left == -2 then dead[#dead + 1] = member
    else
      earliest = math.min(earliest or math.huge, expiryOf(toTtl(left)))
      if member ~= replaces then live[#live + 1] = member end
    end
  end
  return live, dead, earliest
end

-- Ends the first sessions of the list. No member of the index is a tombstone: a session that ends leaves the index.
local function evict(oldest, count)
  for i = 1, count do
    setKeepingTtl(head .. oldest[i], 'replaced')
    redis.call('LREM', index, 1, oldest[i])
    deleteTokens(oldest[i])
  end
end
`
