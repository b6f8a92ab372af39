-- Notes a revocation for workers that start later, and tells whoever waits for a job that nobody has begun. ARGV: id,
-- REVOKED result.
redis.call('SETEX', REVOKED .. ARGV[1], RESULT_SECONDS, 1)
if redis.call('EXISTS', RESULT .. ARGV[1]) == 0 then store(ARGV[1], ARGV[2]) end
return 1
