-- Takes messages for a worker, most urgent first, into `unacked`, with their text unchanged, and notes that the jobs
-- have started. What is not a message goes to the dead list; what was done already is let go.
-- ARGV: worker, its slots, Started event, beginning and end of its STARTED result, most.
-- Gives for each {message, tag, claim, kind}; kind is 'run', 'wait' (its time has not come) or 'revoked'.

enlist(ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5])
local worker, most, taken = ARGV[1], tonumber(ARGV[6]), {}
for i = 1, #LISTS do
  while #taken < most do
    local raw = redis.call('RPOP', LISTS[i])
    if not raw then break end
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
      hold(worker, tag, '[' .. raw .. ', ' .. route .. ']', claim, LISTS[i])
      local kind = 'run'
      if id and redis.call('EXISTS', REVOKED .. id) == 1 then
        kind = 'revoked'
      elseif text(headers.eta) then
        kind = 'wait'
      elseif id then
        start(worker, id)
      end
      taken[#taken + 1] = { raw, tag, claim, kind }
    end
  end
end
return taken
