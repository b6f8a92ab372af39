-- Takes from several limits at once, or from none.
--
-- KEYS   for each limit a hash: number of a step of time → what was taken in it
-- ARGV   for each limit: window in ms, step in ms, most within a window, amount wanted
-- gives  0 when it was taken, else the milliseconds until it could be

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local wait = 0

for n, key in ipairs(KEYS) do
  local window, step, most, amount = unpack(ARGV, 4 * n - 3, 4 * n)
  window, step, most = tonumber(window), tonumber(step), tonumber(most)
  amount = math.min(tonumber(amount), most)
  -- A step counts whole until all of it has left the window.
  local oldest = math.floor((now - window) / step)
  local used, live = 0, {}
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    local at, taken = tonumber(fields[i]), tonumber(fields[i + 1])
    if at < oldest then
      redis.call('HDEL', key, fields[i])
    else
      used = used + taken
      live[#live + 1] = { at, taken }
    end
  end
  local excess = used + amount - most
  if excess > 0 then
    table.sort(live, function(a, b) return a[1] < b[1] end)
    for _, part in ipairs(live) do
      excess = excess - part[2]
      if excess <= 0 then
        wait = math.max(wait, (part[1] + 1) * step + window - now)
        break
      end
    end
  end
end

if wait > 0 then return wait end

for n, key in ipairs(KEYS) do
  local window, step, most, amount = unpack(ARGV, 4 * n - 3, 4 * n)
  amount = math.min(tonumber(amount), tonumber(most))
  if amount > 0 then
    redis.call('HINCRBY', key, string.format('%d', math.floor(now / tonumber(step))), amount)
    redis.call('PEXPIRE', key, tonumber(window) + tonumber(step))
  end
end
return 0
