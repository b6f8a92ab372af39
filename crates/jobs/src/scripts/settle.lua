-- Lets go of messages whose claims still hold: result, last event, and what becomes of the message, in one step.
-- Seven KEYS for each: result, progress, unacked, unacked_index, held, target, deaths. Eleven ARGV for each: tag,
-- claim, result or '', expiry, event or '', microseconds, expiry of progress, what ('done', 'back', 'dead', 'park'),
-- message, reason of 'dead' or score of 'park', most dead.
-- Gives for each 1, or 0 when the lease was lost meanwhile: then nothing has been changed.
local settled = {}
for n = 0, #KEYS / 7 - 1 do
  local k, a = n * 7, n * 11
  local list = holds(KEYS[k + 5], ARGV[a + 1], ARGV[a + 2])
  settled[n + 1] = list and 1 or 0
  if list then
    redis.call('HDEL', KEYS[k + 5], ARGV[a + 1])
    redis.call('HDEL', KEYS[k + 3], ARGV[a + 1])
    redis.call('ZREM', KEYS[k + 4], ARGV[a + 1])
    redis.call('HDEL', KEYS[k + 7], ARGV[a + 1])
    -- In this order: whoever follows the events is done with the last one, and need not look for the result.
    if ARGV[a + 5] ~= '' then emit(KEYS[k + 2], ARGV[a + 6], ARGV[a + 5], ARGV[a + 7]) end
    if ARGV[a + 3] ~= '' then store(KEYS[k + 1], ARGV[a + 3], ARGV[a + 4]) end
    if ARGV[a + 8] == 'back' then
      redis.call('RPUSH', list, ARGV[a + 9])
    elseif ARGV[a + 8] == 'dead' then
      bury(KEYS[k + 6], ARGV[a + 11], ARGV[a + 9], ARGV[a + 10], ARGV[a + 6])
    elseif ARGV[a + 8] == 'park' then
      redis.call('ZADD', KEYS[k + 6], ARGV[a + 10], ARGV[a + 9])
    end
  end
end
return settled
