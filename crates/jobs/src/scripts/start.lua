-- Notes that a job has started whose time had not come when it was claimed. KEYS: result, progress, held. ARGV: tag,
-- claim, result, expiry, microseconds, event, expiry of progress. Gives 0 when the lease was lost.
if not holds(KEYS[3], ARGV[1], ARGV[2]) then return 0 end
store(KEYS[1], ARGV[3], ARGV[4])
return emit(KEYS[2], ARGV[5], ARGV[6], ARGV[7])
