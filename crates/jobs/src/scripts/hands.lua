-- What puts messages into workers' hands.

-- Renews a worker's lease, and writes down what others need to know of it: until when it holds, how many jobs it runs at
-- once, and what is told of a job that it starts.
local function enlist(worker, slots, event, before, after)
  local lease = millis() + LEASE_MILLIS
  redis.call('ZADD', LEASES, 'GT', lease, worker)
  redis.call(
    'HSET', WORKER .. worker, 'until', lease, 'slots', slots, 'event', event, 'before', before, 'after', after
  )
  redis.call('EXPIRE', WORKER .. worker, PROGRESS_SECONDS)
end

-- Puts a message into a worker's hands: in kombu's own shape, and under a claim. `entry` is the message between
-- brackets, with where it was sent.
local function hold(worker, tag, entry, claim, list)
  redis.call('HSET', UNACKED, tag, entry)
  redis.call('ZADD', UNACKED_INDEX, SECONDS, tag)
  redis.call('HSET', HELD .. worker, tag, claim .. ' ' .. list)
end

-- Takes a message out of kombu's hands; gives its text.
local function release(tag)
  local entry = redis.call('HGET', UNACKED, tag)
  redis.call('HDEL', UNACKED, tag)
  redis.call('ZREM', UNACKED_INDEX, tag)
  return entry and string.match(entry, ENTRY)
end
