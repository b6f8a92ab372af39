-- Notes a revocation for workers that start later, and tells whoever waits for a job that nobody has begun, or that waits
-- for its next attempt. KEYS: note, result. ARGV: expiry, REVOKED result.
redis.call('SETEX', KEYS[1], ARGV[1], 1)
local stored = redis.call('GET', KEYS[2])
local is_json, result = pcall(cjson.decode, stored or 'null')
if not stored or (is_json and type(result) == 'table' and result.status == 'RETRY') then
  store(KEYS[2], ARGV[2], ARGV[1])
end
return 1
