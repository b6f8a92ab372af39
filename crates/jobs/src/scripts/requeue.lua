-- Puts a message from the dead list back on the queue. ARGV: id. Gives 1 if it was there.
for _, text in ipairs(redis.call('LRANGE', DEAD, 0, -1)) do
  local entry = cjson.decode(text)
  if entry.id == ARGV[1] then
    redis.call('LREM', DEAD, 1, text)
    redis.call('LPUSH', LISTS[1], entry.message)
    return 1
  end
end
return 0
