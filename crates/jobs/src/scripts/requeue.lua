-- Puts a message from the dead list back on the queue. Its job begins anew: what was told of it is forgotten, or whoever
-- watches it would see its old end. ARGV: id. Gives 1 if it was there.
for _, buried in ipairs(redis.call('LRANGE', DEAD, 0, -1)) do
  local entry = cjson.decode(buried)
  if entry.id == ARGV[1] then
    local is_json, message = pcall(cjson.decode, entry.message)
    local id = text(table_of(is_json and table_of(message).headers).id)
    if id then
      redis.call('DEL', RESULT .. id, PROGRESS .. id)
      redis.call('SETEX', KNOWN .. id, PROGRESS_SECONDS, 1)
    end
    redis.call('LREM', DEAD, 1, buried)
    redis.call('LPUSH', LISTS[1], entry.message)
    return 1
  end
end
return 0
