-- Takes messages for a worker. ARGV: worker, its slots, Started event, beginning and end of its STARTED result, most.
-- Gives what `take` gives.
enlist(ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5])
return take(ARGV[1], tonumber(ARGV[6]))
