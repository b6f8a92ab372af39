-- Notes that a job has started whose time had not come when it was claimed. ARGV: id, worker, tag, claim, result,
-- event. Gives 0 when the lease was lost.
if not holds(ARGV[2], ARGV[3], ARGV[4]) then return 0 end
store(ARGV[1], ARGV[5])
return emit(ARGV[1], ARGV[6])
