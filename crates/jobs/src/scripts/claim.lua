-- Takes up to `most` messages, most urgent first, into `unacked`, in kombu's own shape and with their text unchanged,
-- under the worker's lease, and notes that the job has started. What is not a message goes to the dead list; what
-- was done already is let go.
-- KEYS: four lists, unacked, unacked_index, held, dead, claims, leases.
-- ARGV: most, prefix of results, prefix of progress, prefix of revocations, beginning and end of a STARTED result,
-- Started event, microseconds, expiry of results, expiry of progress, most dead, worker, lease in ms.
-- Gives for each message {message, tag, claim, kind}; kind is 'run', 'wait' (its time has not come) or 'revoked'.
local time = redis.call('TIME')
local now = time[1] .. '.' .. string.format('%06d', time[2])
redis.call('ZADD', KEYS[10], 'GT', time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[13], ARGV[12])

local function text(value) return type(value) == 'string' and value or nil end
local function table_of(value) return type(value) == 'table' and value or {} end

local function is_done(id)
  local stored = redis.call('GET', ARGV[2] .. id)
  if not stored then return false end
  local is_json, result = pcall(cjson.decode, stored)
  return is_json and table_of(result).status == 'SUCCESS'
end

local taken = {}
for i = 1, 4 do
  while #taken < tonumber(ARGV[1]) do
    local raw = redis.call('RPOP', KEYS[i])
    if not raw then break end
    local is_json, message = pcall(cjson.decode, raw)
    local properties = table_of(is_json and table_of(message).properties)
    local tag = text(properties.delivery_tag)
    local headers = table_of(is_json and table_of(message).headers)
    local id = text(headers.id)
    if not tag then
      bury(KEYS[8], ARGV[11], raw, 'NOT_A_MESSAGE', ARGV[8])
    elseif not (id and is_done(id)) then
      local info = table_of(properties.delivery_info)
      local route = cjson.encode(text(info.exchange) or '') .. ', ' .. cjson.encode(text(info.routing_key) or '')
      local claim = redis.call('INCR', KEYS[9])
      redis.call('HSET', KEYS[5], tag, '[' .. raw .. ', ' .. route .. ']')
      redis.call('ZADD', KEYS[6], now, tag)
      redis.call('HSET', KEYS[7], tag, claim .. ' ' .. KEYS[i])
      local kind = 'run'
      if id and redis.call('EXISTS', ARGV[4] .. id) == 1 then
        kind = 'revoked'
      elseif text(headers.eta) then
        kind = 'wait'
      elseif id then
        store(ARGV[2] .. id, ARGV[5] .. cjson.encode(id) .. ARGV[6], ARGV[9])
        emit(ARGV[3] .. id, ARGV[8], ARGV[7], ARGV[10])
      end
      taken[#taken + 1] = { raw, tag, claim, kind }
    end
  end
end
return taken
