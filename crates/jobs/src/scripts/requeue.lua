-- Puts a message from the dead list back on the queue. Its job begins anew: what was told of it is forgotten, or whoever
-- watches it would see its old end. KEYS: dead, queue. ARGV: id, prefix of results, prefix of progress, prefix of notes
-- that a job exists, expiry of these. Gives 1 if it was there.
for _, text in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  local entry = cjson.decode(text)
  if entry.id == ARGV[1] then
    local is_json, message = pcall(cjson.decode, entry.message)
    local headers = is_json and type(message) == 'table' and message.headers
    local id = type(headers) == 'table' and headers.id
    if type(id) == 'string' then
      redis.call('DEL', ARGV[2] .. id, ARGV[3] .. id)
      redis.call('SETEX', ARGV[4] .. id, ARGV[5], 1)
    end
    redis.call('LREM', KEYS[1], 1, text)
    redis.call('LPUSH', KEYS[2], entry.message)
    return 1
  end
end
return 0
