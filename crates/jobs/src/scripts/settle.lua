-- Lets go of messages whose claims still hold: result, last event, and what becomes of the message, in one step.
-- ARGV for each: id, worker, tag, claim, result or '', event or '', what ('done', 'dead', 'park'), message,
-- reason of 'dead' or time of 'park'.
-- Gives for each 1, or 0 when the lease was lost meanwhile: then nothing has been changed.
local settled = {}
for a = 1, #ARGV, 9 do
  local id, worker, tag, what, message = ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 6], ARGV[a + 7]
  local list = holds(worker, tag, ARGV[a + 3])
  settled[#settled + 1] = list and 1 or 0
  if list then
    redis.call('HDEL', HELD .. worker, tag)
    redis.call('HDEL', UNACKED, tag)
    redis.call('ZREM', UNACKED_INDEX, tag)
    -- What was handed over has been in no other hands before.
    if ARGV[a + 3] ~= '0' then redis.call('HDEL', DEATHS, tag) end
    -- In this order: whoever follows the events is done with the last one, and need not look for the result.
    if ARGV[a + 5] ~= '' then emit(id, ARGV[a + 5]) end
    if ARGV[a + 4] ~= '' then store(id, ARGV[a + 4]) end
    if what == 'dead' then
      bury(message, ARGV[a + 8])
    elseif what == 'park' then
      redis.call('ZADD', PARKED, ARGV[a + 8], message)
    end
  end
end
return settled
