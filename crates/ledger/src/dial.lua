-- Takes one of a day's calls: KEYS[1] the day's count; ARGV[1] the most, ARGV[2] how many seconds a request is
-- remembered. With a request: KEYS[2] what it has come to, ARGV[3] its digest, ARGV[4] the id of its call if it is new.
if KEYS[2] then
  local known = redis.call('HMGET', KEYS[2], 'digest', 'call_id')
  if known[1] then
    return known[1] == ARGV[3] and { 'again', known[2] } or { 'reused', '' }
  end
end
if tonumber(redis.call('GET', KEYS[1]) or '0') >= tonumber(ARGV[1]) then
  return { 'capped', '' }
end
redis.call('INCR', KEYS[1])
redis.call('EXPIRE', KEYS[1], 2 * ARGV[2])
if KEYS[2] then
  redis.call('HSET', KEYS[2], 'digest', ARGV[3], 'call_id', ARGV[4])
  redis.call('EXPIRE', KEYS[2], ARGV[2])
end
return { 'new', '' }
