-- Adds messages unless too many wait. One for which nothing waits already is handed at once to a worker that has a hand
-- free: claimed under its lease as if it had asked, and published on its channel. Such a claim has the number 0: a message
-- is handed over once at most. Others wait in their lists.
-- ARGV: beginning and end of a REVOKED result; then for each message its id, tag, list, its text as it stands in
-- `unacked`, 1 if its time has come, and the call that it belongs to, or ''. A call has one waiting job at most: a newer one takes the place of one that nobody has begun.
-- Gives for each the number that waited before it, or -1.
local cards, now = {}, millis()

-- The next worker that has a hand free, and what is known of it; whoever was served last comes last.
local function next_worker()
  local first
  while true do
    local worker = redis.call('LMOVE', READY, READY, 'LEFT', 'RIGHT')
    if not worker or worker == first then return nil end
    first = first or worker
    local card = cards[worker]
    if not card then
      card = redis.call('HMGET', WORKER .. worker, 'until', 'slots', 'event', 'before', 'after')
      local is_there = card[1] and tonumber(card[1]) > now
      card.free = is_there and card[2] - redis.call('HLEN', HELD .. worker) or 0
      cards[worker] = card
    end
    if card.free > 0 then
      card.free = card.free - 1
      return worker, card
    end
  end
end

-- Hands a message of which nothing is known yet to a worker; false if it does not listen.
local function hand_over(worker, card, id, tag, list, entry)
  hold(worker, tag, entry, '0', list)
  store_for(id, card[4], card[5])
  emit(id, card[3], tag, 0)
  -- Redis writes first to whom it had something to say last: the worker begins before anybody is told that it has.
  if redis.call('PUBLISH', INBOX .. worker, tag .. ' ' .. entry) > 0 then return true end
  redis.call('HDEL', HELD .. worker, tag)
  release(tag)
  return false
end

-- Revokes a job that nobody has begun.
local function supersede(id)
  if redis.call('EXISTS', RESULT .. id) == 0 and redis.call('DEL', KNOWN .. id) == 1 then
    redis.call('SETEX', REVOKED .. id, PROGRESS_SECONDS, 1)
    store_for(id, ARGV[1], ARGV[2])
  end
end

-- Whether it is this message that is known of a job already: a producer that got no answer says the same again.
local function is_known(id, tag)
  if redis.call('GET', KNOWN .. id) == tag then return true end
  local first = redis.call('XRANGE', PROGRESS .. id, '1-0', '1-0')[1]
  return first and first[2][6] == tag
end

local waiting = {}
for a = 3, #ARGV, 6 do
  local id, tag, list, entry, call = ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], ARGV[a + 5]
  -- Nothing waits, and nothing has ever happened to the job: one look tells it, nearly always.
  local is_first = redis.call(
    'EXISTS', LISTS[1], LISTS[2], LISTS[3], LISTS[4], KNOWN .. id, REVOKED .. id, RESULT .. id, PROGRESS .. id
  ) == 0
  local n = is_first and 0 or redis.call('LLEN', list)
  if n >= MOST_WAITING then
    n = -1
  elseif is_first or not is_known(id, tag) then
    if call ~= '' then
      local earlier = redis.call('GETSET', CALL .. call, id)
      redis.call('EXPIRE', CALL .. call, PROGRESS_SECONDS)
      if earlier and earlier ~= id then supersede(earlier) end
    end
    local worker, card
    if is_first and ARGV[a + 4] == '1' then worker, card = next_worker() end
    if not (worker and hand_over(worker, card, id, tag, list, entry)) then
      redis.call('SETEX', KNOWN .. id, PROGRESS_SECONDS, tag)
      redis.call('LPUSH', list, string.match(entry, ENTRY))
    end
  end
  waiting[#waiting + 1] = n
end
return waiting
