-- Adds events to jobs' streams where the claims still hold. ARGV for each: id, worker, tag, claim, event, what tells it
-- from other events of the job. Gives for each its number, or 0 when the lease was lost.
local numbers = {}
for a = 1, #ARGV, 6 do
  local id, key, n = ARGV[a], ARGV[a + 5], 0
  if holds(ARGV[a + 1], ARGV[a + 2], ARGV[a + 3]) then
    local last = redis.call('XREVRANGE', PROGRESS .. id, '+', '-', 'COUNT', 1)[1]
    n = last and string.match(last[1], '^%d+') or 0
    -- A worker that got no answer says the same again, and the same event is not told twice.
    if not (last and last[2][6] == key) then n = emit(id, ARGV[a + 4], key, n) end
  end
  numbers[#numbers + 1] = n
end
return numbers
