-- Gives back one of a day's calls: KEYS[1] the day's count. Of a request it is given back once: KEYS[2] what the request
-- has come to, ARGV[1] the call that it was taken for.
if KEYS[2] then
  if redis.call('HGET', KEYS[2], 'call_id') ~= ARGV[1] then
    return
  end
  redis.call('DEL', KEYS[2])
end
redis.call('DECR', KEYS[1])
