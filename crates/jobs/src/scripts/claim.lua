-- Takes messages for a worker, most urgent first, into `unacked`, with their text unchanged, and notes that the jobs
-- have started. What is not a message goes to the dead list; what was done already is let go.
-- ARGV: worker, its slots, Started event, beginning and end of its STARTED result, most.
-- Gives for each {message, tag, claim, kind}; kind is 'run', 'wait' (its time has not come) or 'revoked'.

enlist(ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5])
local worker, taken = ARGV[1], {}

-- Takes messages from a list until so many are taken in all.
local function take(list, most)
  while #taken < most do
    local raw = redis.call('RPOP', list)
    if not raw then return end
    local is_json, message = pcall(cjson.decode, raw)
    local properties = table_of(is_json and table_of(message).properties)
    local tag = text(properties.delivery_tag)
    local headers = table_of(is_json and table_of(message).headers)
    local id = text(headers.id)
    if not tag then
      bury(raw, 'NOT_A_MESSAGE')
    elseif not (id and status_of(id) == 'SUCCESS') then
      local info = table_of(properties.delivery_info)
      local route = cjson.encode(text(info.exchange) or '') .. ', ' .. cjson.encode(text(info.routing_key) or '')
      local claim = redis.call('INCR', CLAIMS)
      hold(worker, tag, '[' .. raw .. ', ' .. route .. ']', claim, list)
      local kind = 'run'
      if id and redis.call('EXISTS', REVOKED .. id) == 1 then
        kind = 'revoked'
      elseif text(headers.eta) then
        kind = 'wait'
      elseif id then
        store_for(id, ARGV[4], ARGV[5])
        emit(id, ARGV[3])
      end
      taken[#taken + 1] = { raw, tag, claim, kind }
    end
  end
end

-- Whether a worker has something in hand that may be what kills workers.
local function holds_suspect()
  for _, value in ipairs(redis.call('HVALS', HELD .. worker)) do
    if string.match(value, '^%d+ (.*)$') == SUSPECTS then return true end
  end
  return false
end

-- One at a time, so that the next death tells which one it is.
if redis.call('EXISTS', SUSPECTS) == 1 and not holds_suspect() then take(SUSPECTS, 1) end
for i = 1, #LISTS do take(LISTS[i], tonumber(ARGV[6])) end
return taken
