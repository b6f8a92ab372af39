-- A worker's heartbeat: renews its lease and, for kombu's sweepers, every message in its hands; gives the messages of
-- workers whose lease ran out back to their lists; moves jobs whose time has come.
-- ARGV: what `enlist` takes; 1 if the worker leaves; deaths that make a suspect; beginning and end of a result for what
-- kills workers, Failed event; tags that the worker holds without knowing.
-- Gives {restored, buried, moved, tags in its hands}.

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

local me, is_leaving, now = ARGV[1], ARGV[6] == '1', millis()
local restored, buried = 0, 0

-- Gives a message back to a list.
local function restore(worker, tag, list)
  redis.call('HDEL', HELD .. worker, tag)
  local raw = release(tag)
  if not raw then return end
  redis.call('RPUSH', list, flagged(raw))
  restored = restored + 1
end

-- Gives up a message that kills its workers.
local function give_up(worker, tag)
  redis.call('HDEL', HELD .. worker, tag)
  redis.call('HDEL', DEATHS, tag)
  local raw = release(tag)
  if not raw then return end
  bury(raw, 'KILLS_WORKERS')
  buried = buried + 1
  local id = text(table_of(cjson.decode(raw).headers).id)
  if id then
    store_for(id, ARGV[8], ARGV[9])
    emit(id, ARGV[10])
  end
end

-- Gives the messages of a worker back. Those that have seen too many of their workers die are suspects: they are
-- claimed one at a time, and one that was the only suspect in a dead worker's hands is what has killed it.
local function inherit(worker)
  local held, suspects = redis.call('HGETALL', HELD .. worker), {}
  for i = 1, #held, 2 do
    local tag, list = held[i], string.match(held[i + 1], '^%d+ (.*)$')
    local was_held = worker ~= me and redis.call('HEXISTS', UNACKED, tag) == 1
    if was_held and redis.call('HINCRBY', DEATHS, tag, 1) >= tonumber(ARGV[7]) then
      suspects[#suspects + 1] = tag
    else
      restore(worker, tag, list)
    end
  end
  if #suspects == 1 then
    give_up(worker, suspects[1])
  else
    for _, tag in ipairs(suspects) do restore(worker, tag, SUSPECTS) end
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
    if value then restore(me, ARGV[a], string.match(value, '^%d+ (.*)$')) end
  end
  hands = redis.call('HKEYS', HELD .. me)
  -- In pieces, since a call takes some thousands of arguments at most.
  for first = 1, #hands, 1000 do
    local renewed = {}
    for i = first, math.min(first + 999, #hands) do
      renewed[#renewed + 1] = SECONDS
      renewed[#renewed + 1] = hands[i]
    end
    redis.call('ZADD', UNACKED_INDEX, 'XX', unpack(renewed))
  end
end

for _, worker in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', now)) do
  inherit(worker)
  redis.call('DEL', HELD .. worker, WORKER .. worker)
  redis.call('ZREM', LEASES, worker)
  redis.call('LREM', READY, 0, worker)
end

local due = redis.call('ZRANGEBYSCORE', PARKED, '-inf', now, 'LIMIT', 0, 100)
for _, raw in ipairs(due) do
  redis.call('ZREM', PARKED, raw)
  redis.call('RPUSH', LISTS[1], raw)
end
return { restored, buried, #due, hands }
