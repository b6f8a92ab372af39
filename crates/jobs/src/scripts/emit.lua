-- Adds events to jobs' streams where the claims still hold. ARGV for each: id, worker, tag, claim, event. Gives for
-- each its number, or 0 when the lease was lost.
local numbers = {}
for a = 1, #ARGV, 5 do
  local is_ours = holds(ARGV[a + 1], ARGV[a + 2], ARGV[a + 3])
  numbers[#numbers + 1] = is_ours and emit(ARGV[a], ARGV[a + 4]) or 0
end
return numbers
