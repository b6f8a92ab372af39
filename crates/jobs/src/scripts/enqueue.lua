-- Adds messages unless too many wait. Two KEYS for each: list, and the note that the job exists. ARGV: most, expiry of
-- notes, then the messages. Gives for each the number that waited before it, or -1.
local waiting = {}
for n = 1, #KEYS / 2 do
  local list = KEYS[n * 2 - 1]
  waiting[n] = redis.call('LLEN', list)
  if waiting[n] >= tonumber(ARGV[1]) then
    waiting[n] = -1
  else
    redis.call('SETEX', KEYS[n * 2], ARGV[2], 1)
    redis.call('LPUSH', list, ARGV[n + 2])
  end
end
return waiting
