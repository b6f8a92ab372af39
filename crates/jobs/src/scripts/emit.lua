-- Adds events to jobs' streams where the claims still hold. Two KEYS for each: progress, held. Five ARGV for each:
-- tag, claim, microseconds, event, expiry. Gives for each its number, or 0 when the lease was lost.

-- A worker that got no answer says the same again, and the same event is not told twice.
local function is_last(stream, at, event)
  local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  return last and last[2][2] == at and last[2][4] == event
end

local numbers = {}
for n = 0, #KEYS / 2 - 1 do
  local k, a = n * 2, n * 5
  local stream, at, event = KEYS[k + 1], ARGV[a + 3], ARGV[a + 4]
  if not holds(KEYS[k + 2], ARGV[a + 1], ARGV[a + 2]) then
    numbers[n + 1] = 0
  elseif is_last(stream, at, event) then
    numbers[n + 1] = redis.call('XLEN', stream)
  else
    numbers[n + 1] = emit(stream, at, event, ARGV[a + 5])
  end
end
return numbers
