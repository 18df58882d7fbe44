import { EARLY_END_MS, MAX_EVICTIONS } from '../session-store.js'
import { NEW_GENERATION, NO_SESSION, NO_TOKENS, REJECT } from './script-call.js'
import { CHUNK } from './script-helpers.js'

/** How long a login under way can still learn of a `revokeAll()`, in milliseconds: longer than any upstream takes. */
const REVOCATION_MS = 3_600_000
/** The number of periods of downtime that a server remembers. Beyond the limit the two oldest periods become one. */
const MAX_PERIODS = 64

/**
 * Lua: the operations. `session-script.ts` lists their arguments and results. Not functions: a closure takes 0.4 µs of
 * each call of the script.
 */
export const OPERATIONS = `
if operation == 'create' then
  local random, record, ttlMs, startedAt, maxText, onFull, replaces, tokens = unpack(ARGV, 3)
  local ttl, max = tonumber(ttlMs), tonumber(maxText)
  local text, own = unpack(redis.call('MGET', head, head .. random))
  local user = parseHead(text)
  -- The client has sent the call again, because the connection was lost before the reply.
  if user.member == random or recordIn(user, own) then return { time, 'created', 0 } end
  if own then return { time, 'too_late' } end
  if tonumber(startedAt) < revokedAt(user) then return { time, 'revoked' } end

  local members, live, oldest, dead, earliest = redis.call('LLEN', index), 0, {}, {}, user.earliest
  -- Below the limit several sessions need no count.
  local isCounted = members < 2 or members >= max
  if members > 1 and isCounted and onFull ~= '${REJECT}' and earliest and now < earliest then
    live, oldest = readOldest(members, replaces, max)
  elseif isCounted and (text or members > 0) then
    oldest, dead, earliest = readMembers(user, replaces)
    live = #oldest
  end
  local surplus = live + 1 - max
  if surplus > 0 and onFull == '${REJECT}' then return { time, 'full' } end
  surplus = math.min(math.max(surplus, 0), ${MAX_EVICTIONS})

  local headTtl = text and ttlOf(head) or 0
  local only = { member = user.member, record = user.record }
  local hasReplaced = only.member == replaces
  if not user.generation then user.generation = base36(math.floor(now)) end
  local isAlone = isCounted and live == surplus and ttl >= headTtl

  -- A full Redis refuses the first write of a script, and no later write. So the first write is a SET: nothing has
  -- changed.
  if isAlone then
    user.member, user.record = random, record
    redis.call('SET', head, formatHead(user), 'PX', ttl)
  else
    redis.call('SET', head .. random, user.generation .. ' ' .. record, 'PX', ttl)
  end
  if only.member and isAlone then
    redis.call('SET', head .. only.member, only.member == replaces and 'logged_in_again' or 'replaced', 'PX', headTtl)
    deleteTokens(only.member)
  elseif only.member then
    moveOutOfHead(user, headTtl)
    addToIndex(only.member, headTtl)
  end
  if not isAlone then
    if only.member then earliest = expiryOf(headTtl) end
    -- Without a count the expiry of the other members may be unknown.
    if isCounted or earliest then user.earliest = math.min(earliest or math.huge, expiryOf(ttl)) end
    redis.call('SET', head, formatHead(user), 'PX', math.max(ttl, headTtl))
    addToIndex(random, ttl)
  end
  if replaces ~= '${NO_SESSION}' then
    forget(replaces)
    hasReplaced = endRecord(user, replaces, 'logged_in_again') ~= nil or hasReplaced
  end
  if not (only.member and isAlone) then evict(oldest, surplus) end
  for _, member in ipairs(dead) do redis.call('LREM', index, 1, member) end
  if tokens ~= '${NO_TOKENS}' then storeTokens(random, tokens, ttl) end
  return { time, 'created', surplus, hasReplaced and 1 or 0 }
end

if operation == 'replace' then
  local random, record, next = unpack(ARGV, 3)
  local user = readUser()
  if user.member == random then
    if user.record ~= record then return { time, 'conflict' } end
    user.record = next
    setKeepingTtl(head, formatHead(user))
  else
    if recordOf(user, random) ~= record then return { time, 'conflict' } end
    local key = head .. random
    setKeepingTtl(key, user.generation .. ' ' .. next)
    -- Redis may have evicted the index: then the earliest expiry of its members is unknown.
    if removeFromIndex(random) == 0 then
      user.earliest = nil
      setKeepingTtl(head, formatHead(user))
    end
    addToIndex(random, ttlOf(key))
  end
  return { time, 'replaced' }
end

if operation == 'writeTokens' then
  local random, tokens, previous = unpack(ARGV, 3)
  local user = readUser()
  local isInHead = user.member == random
  local isLive = isInHead or recordOf(user, random)
  if not isLive or (get(tokensOf(random)) or '${NO_TOKENS}') ~= previous then return { time, 'conflict' } end
  storeTokens(random, tokens, ttlOf(isInHead and head or head .. random))
  return { time, 'written' }
end

if operation == 'endOne' then
  local random, reason, wait = unpack(ARGV, 3)
  local user = readUser()
  -- First: a full Redis does not refuse LREM, and refuses no write after the first. So a logout works with it too.
  forget(random)
  local record
  if user.member == random then
    record = user.record
    redis.call('SET', head .. random, reason, 'PX', ttlOf(head))
    user.member, user.record = nil, nil
    setKeepingTtl(head, formatHead(user))
  elseif get(head .. random) then
    record = endRecord(user, random, reason)
  else
    redis.call('SET', head .. random, reason, 'PX', math.max(${EARLY_END_MS}, user.isCorrupt and ttlOf(head) or 0))
  end
  if wait then touchForWait() end
  return record and { time, 'ended', record } or { time, 'absent' }
end

if operation == 'endAll' then
  local except, atLeast, wait = unpack(ARGV, 3)
  local user = readUser()
  local old = user.generation and tonumber(user.generation, 36) or 0
  if atLeast == '${NEW_GENERATION}' or old < tonumber(atLeast, 36) then
    for _, member in ipairs(redis.call('ZRANGE', holders, 0, -1)) do
      if member ~= except then deleteTokens(member) end
    end
    redis.call('DEL', index)
    local headTtl = user.generation and ttlOf(head) or 0
    if user.member then moveOutOfHead(user, headTtl) end
    local spared = except ~= '${NO_SESSION}' and recordOf(user, except)
    raiseGeneration(user, math.max(math.floor(now), old + 1))
    redis.call('SET', head, formatHead(user), 'PX', math.max(headTtl, ${REVOCATION_MS}))
    if spared then
      setKeepingTtl(head .. except, user.generation .. ' ' .. spared)
      addToIndex(except, ttlOf(head .. except))
    end
  end
  if wait then touchForWait() end
  return { time, 'ended', user.generation }
end

if operation == 'list' then
  local user = readUser()
  if user.member then return { time, user.member, user.record } end
  local found, members = { time }, readIndex()
  local prefix = (user.generation or '') .. ' '
  for from = 1, #members, ${CHUNK} do
    local keys = keysOf(members, from)
    keys[#keys + 1] = head
    local values = redis.call('MGET', unpack(keys))
    for i = 1, #keys - 1 do
      local member, value = members[from + i - 1], values[i]
      if value and string.sub(value, 1, #prefix) == prefix then
        found[#found + 1], found[#found + 2] = member, string.sub(value, #prefix + 1)
      elseif not value then
        -- The session has expired. A read-only server refuses LREM and keeps the member.
        redis.pcall('LREM', index, 1, member)
      end
    end
  end
  return found
end

if operation == 'exists' then
  local random = ARGV[3]
  return { time, redis.call('EXISTS', head), redis.call('EXISTS', head .. random) }
end

if operation == 'beat' then
  local gapAfterMs, failedForMs, rememberMs = unpack(ARGV, 3)
  local text = redis.call('GET', head) or ''
  local at = math.floor(now)
  local last, from = tonumber(string.match(text, '^%d+')), at - tonumber(failedForMs)
  if last and at - last > tonumber(gapAfterMs) then from = math.min(from, last) end
  local remember = math.max(tonumber(rememberMs), redis.call('PTTL', head))
  local periods = {}
  for first, past in string.gmatch(text, '(%d+)-(%d+)') do
    first, past = tonumber(first), tonumber(past)
    if past >= from and from < at then from = math.min(from, first)
    elseif past > at - remember then periods[#periods + 1] = { first, past } end
  end
  if from < at then periods[#periods + 1] = { from, at } end
  while #periods > ${MAX_PERIODS} do periods[2][1] = table.remove(periods, 1)[1] end
  local next = string.format('%.0f', at)
  local clockText = next
  for _, period in ipairs(periods) do next = next .. string.format(' %.0f-%.0f', period[1], period[2]) end
  -- A read-only server still replies with the periods, for a process that has just started.
  local set = redis.pcall('SET', head, next, 'PX', remember)
  if set.err then return { time, 'refused', clockText, text } end
  return { time, 'written', clockText, next }
end

if operation == 'ping' then
  return { time }
end
`
