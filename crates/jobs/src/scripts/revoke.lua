-- Notes a revocation for workers that start later, and tells whoever waits for a job that nobody has begun.
-- KEYS: note, result. ARGV: expiry, REVOKED result.
redis.call('SETEX', KEYS[1], ARGV[1], 1)
if redis.call('EXISTS', KEYS[2]) == 0 then store(KEYS[2], ARGV[2], ARGV[1]) end
return 1
