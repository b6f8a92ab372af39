-- Another call takes the place of one that was never dialled: KEYS[1] what the request has come to; ARGV[1] the call,
-- ARGV[2] the other one.
local known = redis.call('HMGET', KEYS[1], 'call_id', 'is_dialled')
if known[1] ~= ARGV[1] or known[2] then
  return 0
end
redis.call('HSET', KEYS[1], 'call_id', ARGV[2])
return 1
