-- What puts messages into workers' hands.

-- Renews a worker's lease, and writes down what others need to know of it: how many jobs it runs at once, and what
-- is told of a job that it starts.
local function enlist(worker, slots, event, before, after)
  redis.call('ZADD', LEASES, 'GT', MILLIS + LEASE_MILLIS, worker)
  redis.call('HSET', WORKER .. worker, 'slots', slots, 'event', event, 'before', before, 'after', after)
  redis.call('EXPIRE', WORKER .. worker, PROGRESS_SECONDS)
end

-- Puts a message into a worker's hands: in kombu's own shape, and under a claim. `entry` is the message between
-- brackets, with where it was sent.
local function hold(worker, tag, entry, claim, list)
  redis.call('HSET', UNACKED, tag, entry)
  redis.call('ZADD', UNACKED_INDEX, SECONDS, tag)
  redis.call('HSET', HELD .. worker, tag, claim .. ' ' .. list)
end

-- Notes that a worker has started a job.
local function start(worker, id)
  local card = redis.call('HMGET', WORKER .. worker, 'event', 'before', 'after')
  store_for(id, card[2], card[3])
  emit(id, card[1])
end
