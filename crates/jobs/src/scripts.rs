//! Everything that has to happen in one step, as Lua.

use deadpool_redis::redis::Script;

/// Adds a message unless too many wait. KEYS: queue. ARGV: message, most. Gives the number waiting before, or -1.
pub(crate) const ENQUEUE: &str = r"
local waiting = redis.call('LLEN', KEYS[1])
if waiting >= tonumber(ARGV[2]) then return -1 end
redis.call('LPUSH', KEYS[1], ARGV[1])
return waiting
";

/// Takes the most urgent message into `unacked`, in kombu's own shape and with its text unchanged. What has no tag
/// goes to the dead list. KEYS: four lists, unacked, `unacked_index`, dead list. ARGV: prefix of revocations.
/// Gives {0} for nothing, {1, message, tag, `is_revoked`}, or {2, message}.
pub(crate) const CLAIM: &str = r"
for i = 1, 4 do
  local raw = redis.call('RPOP', KEYS[i])
  if raw then
    local is_json, msg = pcall(cjson.decode, raw)
    local properties = is_json and type(msg) == 'table' and type(msg.properties) == 'table' and msg.properties or {}
    local tag = properties.delivery_tag
    if type(tag) ~= 'string' or tag == '' then
      redis.call('LPUSH', KEYS[7], 'NOT_A_MESSAGE ' .. raw)
      redis.call('LTRIM', KEYS[7], 0, 9999)
      return {2, raw}
    end
    local info = type(properties.delivery_info) == 'table' and properties.delivery_info or {}
    local exchange = type(info.exchange) == 'string' and info.exchange or ''
    local key = type(info.routing_key) == 'string' and info.routing_key or ''
    local time = redis.call('TIME')
    redis.call('HSET', KEYS[5], tag, '[' .. raw .. ', ' .. cjson.encode(exchange) .. ', ' .. cjson.encode(key) .. ']')
    redis.call('ZADD', KEYS[6], time[1] .. '.' .. string.format('%06d', time[2]), tag)
    local id = type(msg.headers) == 'table' and msg.headers.id
    local is_revoked = 0
    if type(id) == 'string' then is_revoked = redis.call('EXISTS', ARGV[1] .. id) end
    return {1, raw, tag, is_revoked}
  end
end
return {0}
";

/// Stores a result (unless a success is there already) and lets go of the message. KEYS: result, unacked,
/// `unacked_index`. ARGV: result or empty, expiry in seconds, tag.
pub(crate) const FINISH: &str = r#"
if ARGV[1] ~= '' then
  local old = redis.call('GET', KEYS[1])
  if not (old and string.find(old, '"status":%s*"SUCCESS"')) then
    redis.call('SETEX', KEYS[1], ARGV[2], ARGV[1])
    redis.call('PUBLISH', KEYS[1], ARGV[1])
  end
end
redis.call('HDEL', KEYS[2], ARGV[3])
redis.call('ZREM', KEYS[3], ARGV[3])
return 1
"#;

/// Hands a message back. KEYS: unacked, `unacked_index`, queue. ARGV: tag, message.
pub(crate) const HAND_BACK: &str = r"
if redis.call('HDEL', KEYS[1], ARGV[1]) == 1 then
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('RPUSH', KEYS[3], ARGV[2])
  return 1
end
return 0
";

/// Moves a message in hand to the dead list. KEYS: unacked, `unacked_index`, dead list. ARGV: tag, entry.
pub(crate) const BURY: &str = r"
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('LPUSH', KEYS[3], ARGV[2])
redis.call('LTRIM', KEYS[3], 0, 9999)
return 1
";

/// Adds an event to a job's stream, numbered without gaps from 1, and publishes it. KEYS: stream (channel of the
/// same name). ARGV: microseconds, event, expiry in seconds. Gives its number.
pub(crate) const EMIT: &str = r"
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local n = 1
if #last > 0 then n = tonumber(string.match(last[1][1], '^%d+')) + 1 end
redis.call('XADD', KEYS[1], n .. '-0', 'at', ARGV[1], 'event', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('PUBLISH', KEYS[1], n .. ' ' .. ARGV[1] .. ' ' .. ARGV[2])
return n
";

/// All of them, hashed once.
#[derive(Debug)]
pub(crate) struct Scripts {
    pub(crate) enqueue: Script,
    pub(crate) claim: Script,
    pub(crate) finish: Script,
    pub(crate) hand_back: Script,
    pub(crate) bury: Script,
    pub(crate) emit: Script,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        Self {
            enqueue: Script::new(ENQUEUE),
            claim: Script::new(CLAIM),
            finish: Script::new(FINISH),
            hand_back: Script::new(HAND_BACK),
            bury: Script::new(BURY),
            emit: Script::new(EMIT),
        }
    }
}
