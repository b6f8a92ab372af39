-- Adds events to jobs' streams where the claims still hold. Two KEYS for each: progress, held. Five ARGV for each:
-- tag, claim, microseconds, event, expiry. Gives for each its number, or 0 when the lease was lost.
local numbers = {}
for n = 0, #KEYS / 2 - 1 do
  local k, a = n * 2, n * 5
  local is_ours = holds(KEYS[k + 2], ARGV[a + 1], ARGV[a + 2])
  numbers[n + 1] = is_ours and emit(KEYS[k + 1], ARGV[a + 3], ARGV[a + 4], ARGV[a + 5]) or 0
end
return numbers
