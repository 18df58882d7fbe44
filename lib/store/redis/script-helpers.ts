/** The TTL of a key whose TTL was removed, in milliseconds: no key is ever written without one. */
const TTL_OF_PERSISTED_MS = 31 * 24 * 3_600_000
/** Keys of one command inside the script. */
export const CHUNK = 100

/** Lua: how the keys of a user are read and written; see `session-script.ts` for what they hold. */
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

-- Two keys: of two keys a Cluster node that does not have both says so while their slot moves from one master to another;
-- of one key the node would say that it is not there. A key of another type reads as false.
local function get(key)
  return redis.call('MGET', key, head)[1]
end

-- On a Cluster node that the index has not reached yet there would be no members.
local function readIndex()
  get(index)
  return redis.call('ZRANGE', index, 0, -1)
end

local function isReason(value)
  return value and string.find(value, '^[%l_]+$')
end

local function ttlOf(key)
  local ttl = redis.call('PTTL', key)
  return ttl == -1 and ${TTL_OF_PERSISTED_MS} or math.max(1, ttl)
end

local function setKeepingTtl(key, value)
  redis.call('SET', key, value, 'PX', ttlOf(key))
end

local function readUser()
  local text = get(head)
  if not text and redis.call('EXISTS', head) == 1 then error('the key of a user is not a string') end
  local generation, rest = string.match(text or '', '^(%w%w%w%w%w%w%w%w)(.*)$')
  local lag, only = string.match(rest or '', '^!(%w*)(.*)$')
  local member, record = string.match(only or rest or '', '^ (%S+) (.+)$')
  return { generation = generation, lag = lag, member = member, record = record, isCorrupt = text and not generation }
end

-- The time of the last revokeAll(): never ahead of the clock, which the generation may be.
local function revokedAt(user)
  if not user.lag then return 0 end
  return tonumber(user.generation, 36) + 1 - (tonumber(user.lag, 36) or 1000) / 1000
end

local function raiseGeneration(user, generation)
  user.generation, user.lag = base36(generation), base36((generation + 1) * 1000 - microseconds)
end

local function textOf(user)
  local text = user.lag and user.generation .. '!' .. user.lag or user.generation
  return user.member and text .. ' ' .. user.member .. ' ' .. user.record or text
end

-- The generation and the record of a session that has a key of its own.
local function split(value)
  return string.match(value or '', '^(%w%w%w%w%w%w%w%w) (.+)$')
end

local function recordOf(user, member)
  local generation, record = split(get(head .. member))
  return generation == user.generation and record or nil
end

local function addToIndex(member, at, ttl)
  redis.call('ZADD', index, string.format('%.0f', at * 1000), member)
  if redis.call('PTTL', index) < ttl then redis.call('PEXPIRE', index, math.floor(ttl)) end
end

-- Moves the only session to a key of its own.
local function moveOut(user, ttl)
  redis.call('SET', head .. user.member, user.generation .. ' ' .. user.record, 'PX', ttl)
  user.member, user.record = nil, nil
end

-- A corrupt record ends too. One of another generation has ended already.
local function endRecord(user, member, reason)
  local value = get(head .. member)
  local generation, record = split(value)
  local isCurrent = generation == nil or generation == user.generation
  if value and not isReason(value) and isCurrent then setKeepingTtl(head .. member, reason) end
  redis.call('ZREM', index, member)
  return isCurrent and record or nil
end

-- WAIT waits for what its connection has written: so there is a write, also where all had ended before.
local function touchForWait()
  redis.pcall('ZADD', index, 0, '')
  redis.pcall('ZREM', index, '')
end

local function keysOf(members, from)
  local keys = {}
  for i = from, math.min(from + ${CHUNK - 1}, #members) do keys[#keys + 1] = head .. members[i] end
  return keys
end

-- The sessions that a new one is beside, the oldest activity first; and members of the index whose sessions are gone.
local function others(user, replaces)
  if user.member then return user.member == replaces and {} or { user.member }, {} end
  local live, dead, members = {}, {}, readIndex()
  for from = 1, #members, ${CHUNK} do
    local keys = keysOf(members, from)
    -- One command for many: most often all are there.
    local areAll = redis.call('EXISTS', unpack(keys)) == #keys
    for i = from, from + #keys - 1 do
      local member = members[i]
      if not areAll and redis.call('EXISTS', head .. member) == 0 then dead[#dead + 1] = member
      elseif member ~= replaces then live[#live + 1] = member end
    end
  end
  return live, dead
end

-- The oldest of them that must make room. Members of the index are no reasons: those have left it.
local function evict(live, count)
  for i = 1, count do setKeepingTtl(head .. live[i], 'replaced') end
  for from = 1, count, ${CHUNK} do redis.call('ZREM', index, unpack(live, from, math.min(from + ${CHUNK - 1}, count))) end
end
`
