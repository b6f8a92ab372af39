-- Notes a revocation for workers that start later, and tells whoever waits for a job that nobody has begun, or that waits
-- for its next attempt. ARGV: id, REVOKED result.
redis.call('SETEX', REVOKED .. ARGV[1], RESULT_SECONDS, 1)
local status = status_of(ARGV[1])
if status == nil or status == 'RETRY' then store(ARGV[1], ARGV[2]) end
return 1
