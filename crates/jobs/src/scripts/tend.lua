-- A worker's heartbeat: renews its lease and, for kombu's sweepers, every message in its hands; gives the messages of
-- workers whose lease ran out back to their lists; moves jobs whose time has come.
-- KEYS: leases, unacked, unacked_index, parked, queue, dead, deaths. ARGV: worker, lease in ms (0 = goodbye), prefix
-- of held, most deaths, prefix of results, expiry, beginning and end of a result for what kills workers, most dead,
-- prefix of progress, Failed event, expiry of progress.
-- Gives {restored, buried, moved}.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local micros = string.format('%.0f', now * 1000)
if tonumber(ARGV[2]) > 0 then
  redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
  for _, tag in ipairs(redis.call('HKEYS', ARGV[3] .. ARGV[1])) do
    redis.call('ZADD', KEYS[3], 'XX', time[1] .. '.' .. string.format('%06d', time[2]), tag)
  end
else
  redis.call('ZADD', KEYS[1], 0, ARGV[1])
end

-- As kombu marks what it restores; the rest of the text stays as it is.
local function flagged(raw)
  if string.find(raw, '"redelivered": ?true') then return raw end
  for _, name in ipairs({ 'headers', 'delivery_info' }) do
    raw = string.gsub(raw, '("' .. name .. '": ?{)( ?}?)', function(open, close)
      return open .. '"redelivered": true' .. (string.find(close, '}') and '}' or ', ')
    end, 1)
  end
  return raw
end

local function give_up(raw)
  bury(KEYS[6], ARGV[9], raw, 'KILLS_WORKERS', micros)
  local headers = cjson.decode(raw).headers
  local id = type(headers) == 'table' and headers.id
  if type(id) ~= 'string' then return end
  store(ARGV[5] .. id, ARGV[7] .. cjson.encode(id) .. ARGV[8], ARGV[6])
  emit(ARGV[10] .. id, micros, ARGV[11], ARGV[12])
end

local restored, buried = 0, 0
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
  local hands = ARGV[3] .. worker
  local held = redis.call('HGETALL', hands)
  for i = 1, #held, 2 do
    local tag, list = held[i], string.match(held[i + 1], '^%d+ (.*)$')
    local entry = redis.call('HGET', KEYS[2], tag)
    redis.call('HDEL', KEYS[2], tag)
    redis.call('ZREM', KEYS[3], tag)
    local raw = entry and string.match(entry, '^%[(.*), "[^"]*", "[^"]*"%]$')
    local is_goodbye = worker == ARGV[1]
    if raw and not is_goodbye and redis.call('HINCRBY', KEYS[7], tag, 1) >= tonumber(ARGV[4]) then
      redis.call('HDEL', KEYS[7], tag)
      give_up(raw)
      buried = buried + 1
    elseif raw then
      redis.call('RPUSH', list, flagged(raw))
      restored = restored + 1
    end
  end
  redis.call('DEL', hands)
  redis.call('ZREM', KEYS[1], worker)
end

local due = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now, 'LIMIT', 0, 100)
for _, raw in ipairs(due) do
  redis.call('ZREM', KEYS[4], raw)
  redis.call('RPUSH', KEYS[5], raw)
end
return { restored, buried, #due }
