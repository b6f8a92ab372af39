-- Gives back what was taken for a request: KEYS[1] the day's count, KEYS[2] what the request has come to; ARGV[1] the
-- call that it was taken for.
if redis.call('HGET', KEYS[2], 'call_id') == ARGV[1] then
  redis.call('DEL', KEYS[2])
  redis.call('DECR', KEYS[1])
end
