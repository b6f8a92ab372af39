-- What several scripts do. Names of keys, limits and times stand before this, written from Rust.

local clock = redis.call('TIME')
local MICROS = clock[1] .. string.format('%06d', clock[2])
local SECONDS = clock[1] .. '.' .. string.format('%06d', clock[2])
local MILLIS = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function text(value) return type(value) == 'string' and value or nil end
local function table_of(value) return type(value) == 'table' and value or {} end

-- Adds an event to a job's stream, numbered without gaps from 1, and publishes it on the channel of the same name.
local function emit(id, event)
  local stream = PROGRESS .. id
  -- Nothing is ever removed from a stream, so that its length is its last number.
  local n = redis.call('XLEN', stream) + 1
  redis.call('XADD', stream, n .. '-0', 'at', MICROS, 'event', event)
  if n == 1 then redis.call('EXPIRE', stream, PROGRESS_SECONDS) end
  redis.call('PUBLISH', stream, n .. ' ' .. MICROS .. ' ' .. event)
  return n
end

-- Stores a result and tells whoever waits for it.
local function store(id, result)
  redis.call('SETEX', RESULT .. id, RESULT_SECONDS, result)
  redis.call('PUBLISH', RESULT .. id, result)
end

-- Stores a result that was written for no id in particular.
local function store_for(id, before, after)
  store(id, before .. cjson.encode(id) .. after)
end

-- Keeps a message that nobody can run, for whoever looks into it.
local function bury(raw, reason)
  local entry = { id = redis.sha1hex(raw), reason = reason, at = MICROS, message = raw }
  redis.call('LPUSH', DEAD, cjson.encode(entry))
  redis.call('LTRIM', DEAD, 0, MOST_DEAD - 1)
end

-- Whether the claim of a message still holds; gives the list that the message came from.
local function holds(worker, tag, claim)
  local value = redis.call('HGET', HELD .. worker, tag)
  if not value then return nil end
  local number, list = string.match(value, '^(%d+) (.*)$')
  return number == claim and list or nil
end

-- Takes a message out of kombu's hands; gives its text.
local function release(tag)
  local entry = redis.call('HGET', UNACKED, tag)
  redis.call('HDEL', UNACKED, tag)
  redis.call('ZREM', UNACKED_INDEX, tag)
  return entry and string.match(entry, '^%[(.*), "[^"]*", "[^"]*"%]$')
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

local function is_done(id)
  local stored = redis.call('GET', RESULT .. id)
  if not stored then return false end
  local is_json, result = pcall(cjson.decode, stored)
  return is_json and table_of(result).status == 'SUCCESS'
end

-- Renews a worker's lease, and writes down what others need to know of it: how many jobs it runs at once, and what
-- is told of a job that it starts.
local function enlist(worker, slots, event, before, after)
  redis.call('ZADD', LEASES, 'GT', MILLIS + LEASE_MILLIS, worker)
  redis.call('HSET', WORKER .. worker, 'slots', slots, 'event', event, 'before', before, 'after', after)
  redis.call('EXPIRE', WORKER .. worker, PROGRESS_SECONDS)
end

-- Takes up to `most` messages for a worker, most urgent first, into `unacked`, in kombu's own shape and with their
-- text unchanged, and notes that the jobs have started. What is not a message goes to the dead list; what was done
-- already is let go. Gives for each {message, tag, claim, kind, id or ''}; kind is 'run', 'wait' (its time has not come) or
-- 'revoked'.
local function take(worker, most)
  local taken, card = {}, nil
  for i = 1, #LISTS do
    while #taken < most do
      local raw = redis.call('RPOP', LISTS[i])
      if not raw then break end
      local is_json, message = pcall(cjson.decode, raw)
      local properties = table_of(is_json and table_of(message).properties)
      local tag = text(properties.delivery_tag)
      local headers = table_of(is_json and table_of(message).headers)
      local id = text(headers.id)
      if not tag then
        bury(raw, 'NOT_A_MESSAGE')
      elseif not (id and is_done(id)) then
        local info = table_of(properties.delivery_info)
        local route = cjson.encode(text(info.exchange) or '') .. ', ' .. cjson.encode(text(info.routing_key) or '')
        local claim = redis.call('INCR', CLAIMS)
        redis.call('HSET', UNACKED, tag, '[' .. raw .. ', ' .. route .. ']')
        redis.call('ZADD', UNACKED_INDEX, SECONDS, tag)
        redis.call('HSET', HELD .. worker, tag, claim .. ' ' .. LISTS[i])
        local kind = 'run'
        if id and redis.call('EXISTS', REVOKED .. id) == 1 then
          kind = 'revoked'
        elseif text(headers.eta) then
          kind = 'wait'
        elseif id then
          card = card or redis.call('HMGET', WORKER .. worker, 'event', 'before', 'after')
          store_for(id, card[2], card[3])
          emit(id, card[1])
        end
        taken[#taken + 1] = { raw, tag, claim, kind, id or '' }
      end
    end
  end
  return taken
end
