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

-- With get(): on a Cluster master without the index, ZRANGE alone would find no members.
local function readIndex()
  get(index)
  return redis.call('ZRANGE', index, 0, -1)
end

-- A tombstone is the reason in the place of a record.
local function isTombstone(value)
  return value and string.find(value, '^[%l_]+$')
end

local function ttlOf(key)
  local ttl = redis.call('PTTL', key)
  return ttl == -1 and ${TTL_OF_PERSISTED_MS} or math.max(1, ttl)
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
  local lag, session = string.match(rest or '', '^!(%w*)(.*)$')
  local member, record = string.match(session or rest or '', '^ (%S+) (.+)$')
  return { generation = generation, lag = lag, member = member, record = record, isCorrupt = not generation }
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
  return user.member and text .. ' ' .. user.member .. ' ' .. user.record or text
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

local function addToSet(set, member, score, ttl)
  redis.call('ZADD', set, string.format('%.0f', score), member)
  if redis.call('PTTL', set) < ttl then redis.call('PEXPIRE', set, math.floor(ttl)) end
end

local function addToIndex(member, at, ttl)
  addToSet(index, member, at * 1000, ttl)
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
  addToSet(holders, member, now + ttl, ttl)
end

local function deleteTokens(member)
  redis.call('ZREM', holders, member)
  redis.call('DEL', tokensOf(member))
end

-- Moves the only session from the head to its own key.
local function moveOutOfHead(user, ttl)
  redis.call('SET', head .. user.member, user.generation .. ' ' .. user.record, 'PX', ttl)
  user.member, user.record = nil, nil
end

-- Ends a corrupt record too. A record of another generation has ended before.
local function endRecord(user, member, reason)
  local value = get(head .. member)
  local generation, record = parseOwn(value)
  local isCurrent = generation == nil or generation == user.generation
  if value and not isTombstone(value) and isCurrent then setKeepingTtl(head .. member, reason) end
  redis.call('ZREM', index, member)
  deleteTokens(member)
  return isCurrent and record or nil
end

-- WAIT waits for the last write of its connection: so there is a write, also when all sessions had ended before.
local function touchForWait()
  redis.pcall('ZADD', index, 0, '')
  redis.pcall('ZREM', index, '')
end

local function keysOf(members, from)
  local keys = {}
  for i = from, math.min(from + ${CHUNK - 1}, #members) do keys[#keys + 1] = head .. members[i] end
  return keys
end

-- The live sessions without the replaced session, the oldest activity first; and the members of the index without a
-- key.
local function readMembers(user, replaces)
  if user.member then return user.member == replaces and {} or { user.member }, {} end
  local live, dead, members = {}, {}, readIndex()
  for from = 1, #members, ${CHUNK} do
    local keys = keysOf(members, from)
    -- One command for many keys: most often all keys exist.
    local allExist = redis.call('EXISTS', unpack(keys)) == #keys
    for i = from, from + #keys - 1 do
      local member = members[i]
      if not allExist and redis.call('EXISTS', head .. member) == 0 then dead[#dead + 1] = member
      elseif member ~= replaces then live[#live + 1] = member end
    end
  end
  return live, dead
end

-- Ends the first sessions of the list. No member of the index is a tombstone: a session that ends leaves the index.
local function evict(live, count)
  for i = 1, count do
    setKeepingTtl(head .. live[i], 'replaced')
    deleteTokens(live[i])
  end
  for from = 1, count, ${CHUNK} do redis.call('ZREM', index, unpack(live, from, math.min(from + ${CHUNK - 1}, count))) end
end
`
