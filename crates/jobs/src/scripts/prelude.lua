-- What several scripts do.

-- Adds an event to a job's stream, numbered without gaps from 1, and publishes it on the channel of the same name.
local function emit(stream, at, event, expiry)
  -- Nothing is ever removed from a stream, so that its length is its last number.
  local n = redis.call('XLEN', stream) + 1
  redis.call('XADD', stream, n .. '-0', 'at', at, 'event', event)
  if n == 1 then redis.call('EXPIRE', stream, expiry) end
  redis.call('PUBLISH', stream, n .. ' ' .. at .. ' ' .. event)
  return n
end

-- Stores a result and tells whoever waits for it.
local function store(key, result, expiry)
  redis.call('SETEX', key, expiry, result)
  redis.call('PUBLISH', key, result)
end

-- Keeps a message that nobody can run, for whoever looks into it.
local function bury(dead, most, raw, reason, at)
  local entry = { id = redis.sha1hex(raw), reason = reason, at = at, message = raw }
  redis.call('LPUSH', dead, cjson.encode(entry))
  redis.call('LTRIM', dead, 0, tonumber(most) - 1)
end

-- Whether the claim of a message still holds; gives the list that the message came from.
local function holds(held, tag, claim)
  local value = redis.call('HGET', held, tag)
  if not value then return nil end
  local number, list = string.match(value, '^(%d+) (.*)$')
  return number == claim and list or nil
end
