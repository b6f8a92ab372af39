-- Adds messages unless too many wait, and hands them on at once to workers that have a hand free: claimed under their
-- lease as if they had asked, and published on their channels.
-- ARGV: beginning and end of a REVOKED result; then for each message its id, list, text, and the call that it belongs
-- to, or ''. A call has one waiting job at most: a newer one takes the place of one that nobody has begun. Gives for
-- each the number that waited before it, or -1.
local waiting, waits_for = {}, {}
for a = 3, #ARGV, 4 do
  local id, list, call = ARGV[a], ARGV[a + 1], ARGV[a + 3]
  local n = redis.call('LLEN', list)
  if n >= MOST_WAITING then
    n = -1
  else
    if call ~= '' then
      local earlier = redis.call('GETSET', CALL .. call, id)
      redis.call('EXPIRE', CALL .. call, PROGRESS_SECONDS)
      if earlier and earlier ~= id and redis.call('EXISTS', KNOWN .. earlier, RESULT .. earlier) == 1
        and redis.call('DEL', KNOWN .. earlier) == 1 then
        redis.call('SETEX', REVOKED .. earlier, PROGRESS_SECONDS, 1)
        store_for(earlier, ARGV[1], ARGV[2])
      end
    end
    redis.call('LPUSH', list, ARGV[a + 2])
    waits_for[id] = true
  end
  waiting[#waiting + 1] = n
end

-- Every worker gets its share; those that were served last come last next time.
local ready = redis.call('LLEN', READY)
local share = math.ceil(#waiting / math.max(ready, 1))
for _ = 1, ready do
  if not next(waits_for) then break end
  local worker = redis.call('LMOVE', READY, READY, 'LEFT', 'RIGHT')
  local lease = redis.call('ZSCORE', LEASES, worker)
  if lease and tonumber(lease) > MILLIS then
    local free = (redis.call('HGET', WORKER .. worker, 'slots') or 0) - redis.call('HLEN', HELD .. worker)
    if free > 0 and redis.call('PUBSUB', 'NUMSUB', INBOX .. worker)[2] > 0 then
      for _, message in ipairs(take(worker, math.min(free, share))) do
        redis.call('PUBLISH', INBOX .. worker, message[3] .. ' ' .. message[4] .. ' ' .. message[2] .. '\n' .. message[1])
        waits_for[message[5]] = nil
      end
    end
  end
end
for id in pairs(waits_for) do redis.call('SETEX', KNOWN .. id, PROGRESS_SECONDS, 1) end
return waiting
