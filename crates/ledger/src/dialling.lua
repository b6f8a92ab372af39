-- The call of a request is dialled now: KEYS[1] what the request has come to; ARGV[1] the call. Another one that has
-- taken its place must not be dialled as well. What nobody remembers any more stands in nobody's way.
local known = redis.call('HGET', KEYS[1], 'call_id')
if not known then
  return 1
end
if known ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'is_dialled', 1)
return 1
