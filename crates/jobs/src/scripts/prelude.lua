-- What several scripts do. Names of keys, limits and times stand before this, written from Rust.

-- Numbers are kept as texts where nobody counts with them: Lua writes a number in a slow way.

local clock = redis.call('TIME')
local fraction = string.sub('00000' .. clock[2], -6)
local MICROS = clock[1] .. fraction
local SECONDS = clock[1] .. '.' .. fraction

-- What stands in `unacked`: a message between brackets, with the exchange and the key that it was sent with.
local ENTRY = '^%[(.*), "[^"]*", "[^"]*"%]$'

local function millis() return clock[1] * 1000 + math.floor(clock[2] / 1000) end
local function text(value) return type(value) == 'string' and value or nil end
local function table_of(value) return type(value) == 'table' and value or {} end

-- Adds an event to a job's stream, numbered without gaps from 1, and publishes it on the channel of the same name.
-- `key` tells it from other events of the job, where the same one may be said twice; `length` is that of the stream, if
-- it is known.
local function emit(id, event, key, length)
  local stream = PROGRESS .. id
  -- Nothing is ever removed from a stream, so that its length is its last number.
  local n = tostring((length or redis.call('XLEN', stream)) + 1)
  redis.call('XADD', stream, n .. '-0', 'at', MICROS, 'event', event, 'key', key or '')
  if n == '1' then redis.call('EXPIRE', stream, PROGRESS_SECONDS) end
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

-- The state of a job's stored result; nil if there is none, '' if it cannot be read.
local function status_of(id)
  local stored = redis.call('GET', RESULT .. id)
  if not stored then return nil end
  local is_json, result = pcall(cjson.decode, stored)
  return is_json and text(table_of(result).status) or ''
end
