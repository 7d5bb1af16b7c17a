"""The scripts that change a gallery in Redis. Each runs whole or not at all.

Laws: (1) only the producer whose token is in the stream's hash can write; (2) a write names the entry of the write
before it, so a producer notices that the server has lost writes; (3) each entry names the entry before it in the log,
so a reader notices a gap; (4) the response id of a stream is never replaced by nothing.
Errors begin with a word: HELD (another producer has the lease), FENCED (another producer has taken over), LOST (the
server has lost the stream or its last writes).
Must not know: the form of the facts.
"""

from __future__ import annotations

_APPEND = """
local function append(log, most, text)
  local last = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)
  local before = last[1] and last[1][1] or '0-0'
  return redis.call('XADD', log, 'MAXLEN', '~', most, '*', 'p', before, 'c', text)
end
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
"""

# KEYS meta lease epoch numbers expires; ARGV token lease_ms keep_ms epoch name.
# Returns number, began_ms, next_frame, response cursor (JSON or ''). The same token may claim again.
CLAIM = (
    _APPEND
    + """
local held = redis.call('GET', KEYS[2])
if held and held ~= ARGV[1] then return redis.error_reply('HELD another producer has this stream') end
local now = now_ms()
redis.call('SET', KEYS[3], ARGV[4], 'NX')
if redis.call('HEXISTS', KEYS[1], 'number') == 0 then
  redis.call('HSET', KEYS[1], 'number', redis.call('INCR', KEYS[4]), 'began_ms', string.format('%.0f', now))
end
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'last', '')
redis.call('HDEL', KEYS[1], 'stop')
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
redis.call('ZADD', KEYS[5], string.format('%.0f', now + ARGV[3]), ARGV[5])
return redis.call('HMGET', KEYS[1], 'number', 'began_ms', 'next_frame', 'cursor')
"""
)

# KEYS log facts meta lease expires; ARGV token last_id max_entries lease_ms keep_ms name cursor next_frame, then for
# each fact: where ('log', 'drop' or 'hash') field text. 'log': an entry of the log, and the fact; 'drop': an entry of
# the log, and the fact goes; 'hash': the fact alone. Returns stop ('1' or ''), the id of the last entry.
WRITE = (
    _APPEND
    + """
local meta = redis.call('HMGET', KEYS[3], 'token', 'last', 'stop')
if not meta[1] then return redis.error_reply('LOST the server has lost this stream') end
if meta[1] ~= ARGV[1] then return redis.error_reply('FENCED another producer has taken over') end
if (meta[2] or '') ~= ARGV[2] then return redis.error_reply('LOST the server has lost writes of this stream') end
local id = ARGV[2]
for i = 9, #ARGV, 3 do
  local where, field, text = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if where ~= 'hash' then id = append(KEYS[1], ARGV[3], text) end
  if where == 'drop' then redis.call('HDEL', KEYS[2], field)
  elseif where == 'hash' then redis.call('HSET', KEYS[2], field, text)
  else redis.call('HSET', KEYS[2], field, id .. '\\n' .. text) end
end
redis.call('HSET', KEYS[3], 'last', id, 'next_frame', ARGV[8])
if ARGV[7] ~= '' then redis.call('HSET', KEYS[3], 'cursor', ARGV[7]) end
redis.call('SET', KEYS[4], ARGV[1], 'PX', ARGV[4])
redis.call('ZADD', KEYS[5], string.format('%.0f', now_ms() + ARGV[5]), ARGV[6])
return {meta[3] or '', id}
"""
)

# KEYS meta lease; ARGV token. Returns 1 if the lease was this producer's.
RELEASE = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[2])
"""

# KEYS log facts meta lease expires; ARGV max_entries name text, and 'expired' to remove it only if its time has come
# and it has no producer. A producer that still writes gets LOST. Returns 1 if there was a stream.
REMOVE = (
    _APPEND
    + """
local at = redis.call('ZSCORE', KEYS[5], ARGV[2])
if not at then return 0 end
if ARGV[4] == 'expired' and (tonumber(at) > now_ms() or redis.call('EXISTS', KEYS[4]) == 1) then return 0 end
redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])
redis.call('ZREM', KEYS[5], ARGV[2])
append(KEYS[1], ARGV[1], ARGV[3])
return 1
"""
)
