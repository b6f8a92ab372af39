-- A worker's heartbeat: renews its lease and, for kombu's sweepers, every message in its hands; gives the messages of
-- workers whose lease ran out back to their lists; moves jobs whose time has come.
-- ARGV: what `enlist` takes; 1 if the worker leaves; most deaths; beginning and end of a result for what kills workers,
-- Failed event; tags that the worker holds without knowing.
-- Gives {restored, buried, moved, tags in its hands}.

-- Takes a message out of kombu's hands; gives its text.
local function release(tag)
  local entry = redis.call('HGET', UNACKED, tag)
  redis.call('HDEL', UNACKED, tag)
  redis.call('ZREM', UNACKED_INDEX, tag)
  return entry and string.match(entry, ENTRY)
end

-- A message as kombu marks what it restores; the rest of the text stays as it is.
local function flagged(raw)
  if string.find(raw, '"redelivered": ?true') then return raw end
  for _, name in ipairs({ 'headers', 'delivery_info' }) do
    raw = string.gsub(raw, '("' .. name .. '": ?{)( ?}?)', function(open, close)
      return open .. '"redelivered": true' .. (string.find(close, '}') and '}' or ', ')
    end, 1)
  end
  return raw
end

local me, is_leaving = ARGV[1], ARGV[6] == '1'
local restored, buried = 0, 0

-- Gives a message back; one whose workers died too often is given up.
local function restore(worker, tag, list, has_died)
  redis.call('HDEL', HELD .. worker, tag)
  local raw = release(tag)
  if not raw then return end
  if not has_died or redis.call('HINCRBY', DEATHS, tag, 1) < tonumber(ARGV[7]) then
    redis.call('RPUSH', list, flagged(raw))
    restored = restored + 1
    return
  end
  redis.call('HDEL', DEATHS, tag)
  bury(raw, 'KILLS_WORKERS')
  buried = buried + 1
  local id = text(table_of(cjson.decode(raw).headers).id)
  if id then
    store_for(id, ARGV[8], ARGV[9])
    emit(id, ARGV[10])
  end
end

local hands = {}
if is_leaving then
  redis.call('ZADD', LEASES, 0, me)
else
  enlist(me, ARGV[2], ARGV[3], ARGV[4], ARGV[5])
  if not redis.call('LPOS', READY, me) then redis.call('RPUSH', READY, me) end
  -- An answer that got lost leaves messages in hands that do not know of them.
  for a = 11, #ARGV do
    local value = redis.call('HGET', HELD .. me, ARGV[a])
    if value then restore(me, ARGV[a], string.match(value, '^%d+ (.*)$'), false) end
  end
  hands = redis.call('HKEYS', HELD .. me)
  for _, tag in ipairs(hands) do redis.call('ZADD', UNACKED_INDEX, 'XX', SECONDS, tag) end
end

for _, worker in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', MILLIS)) do
  local held = redis.call('HGETALL', HELD .. worker)
  for i = 1, #held, 2 do
    restore(worker, held[i], string.match(held[i + 1], '^%d+ (.*)$'), worker ~= me)
  end
  redis.call('DEL', HELD .. worker, WORKER .. worker)
  redis.call('ZREM', LEASES, worker)
  redis.call('LREM', READY, 0, worker)
end

local due = redis.call('ZRANGEBYSCORE', PARKED, '-inf', MILLIS, 'LIMIT', 0, 100)
for _, raw in ipairs(due) do
  redis.call('ZREM', PARKED, raw)
  redis.call('RPUSH', LISTS[1], raw)
end
return { restored, buried, #due, hands }
