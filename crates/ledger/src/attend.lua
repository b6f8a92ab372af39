-- A relay is there: KEYS[1] all relays by when they were last there; ARGV[1] its address, ARGV[2] after how many
-- milliseconds one that is not there is forgotten. Gives the addresses of all.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
return redis.call('ZRANGE', KEYS[1], 0, -1)
