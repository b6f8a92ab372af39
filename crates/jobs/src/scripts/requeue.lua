-- Puts a message from the dead list back on the queue. KEYS: dead, queue. ARGV: id. Gives 1 if it was there.
for _, text in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  local entry = cjson.decode(text)
  if entry.id == ARGV[1] then
    redis.call('LREM', KEYS[1], 1, text)
    redis.call('LPUSH', KEYS[2], entry.message)
    return 1
  end
end
return 0
