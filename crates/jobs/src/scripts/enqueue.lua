-- Adds messages unless too many wait. One for which nothing waits already is handed at once to a worker that has a hand
-- free: claimed under its lease as if it had asked, and published on its channel. Such a claim has the number 0: a message
-- is handed over once at most. Others wait in their lists.
-- ARGV: beginning and end of a REVOKED result; then for each message its id, tag, list, its text as it stands in
-- `unacked`, 1 if its time has come, and the call that it belongs to, or ''. A call has one waiting job at most: a newer one takes the place of one that nobody has begun.
-- Gives for each the number that waited before it, or -1.
local free, ready = {}, redis.call('LLEN', READY)

-- The next worker that has a hand free; whoever was served last comes last.
local function next_worker()
  for _ = 1, ready do
    local worker = redis.call('LMOVE', READY, READY, 'LEFT', 'RIGHT')
    if not free[worker] then
      local lease = redis.call('ZSCORE', LEASES, worker)
      local is_there = lease and tonumber(lease) > MILLIS and redis.call('PUBSUB', 'NUMSUB', INBOX .. worker)[2] > 0
      local slots = is_there and redis.call('HGET', WORKER .. worker, 'slots') or 0
      free[worker] = slots - redis.call('HLEN', HELD .. worker)
    end
    if free[worker] > 0 then
      free[worker] = free[worker] - 1
      return worker
    end
  end
end

-- Revokes a job that nobody has begun.
local function supersede(id)
  if redis.call('EXISTS', RESULT .. id) == 0 and redis.call('DEL', KNOWN .. id) == 1 then
    redis.call('SETEX', REVOKED .. id, PROGRESS_SECONDS, 1)
    store_for(id, ARGV[1], ARGV[2])
  end
end

local waiting = {}
for a = 3, #ARGV, 6 do
  local id, tag, list, entry, call = ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], ARGV[a + 5]
  local n = redis.call('LLEN', list)
  if n >= MOST_WAITING then
    n = -1
  -- A producer that got no answer says the same again.
  elseif redis.call('GET', KNOWN .. id) ~= tag then
    redis.call('SETEX', KNOWN .. id, PROGRESS_SECONDS, tag)
    if call ~= '' then
      local earlier = redis.call('GETSET', CALL .. call, id)
      redis.call('EXPIRE', CALL .. call, PROGRESS_SECONDS)
      if earlier and earlier ~= id then supersede(earlier) end
    end
    local is_free = n == 0 and redis.call('EXISTS', LISTS[1], LISTS[2], LISTS[3], LISTS[4]) == 0
    local may_run = ARGV[a + 4] == '1' and redis.call('EXISTS', REVOKED .. id, RESULT .. id) == 0
    local worker = is_free and may_run and next_worker()
    if worker then
      -- First, so that the worker is told before anybody who watches.
      redis.call('PUBLISH', INBOX .. worker, entry)
      hold(worker, tag, entry, 0, list)
      start(worker, id)
    else
      redis.call('LPUSH', list, string.match(entry, ENTRY))
    end
  end
  waiting[#waiting + 1] = n
end
return waiting
