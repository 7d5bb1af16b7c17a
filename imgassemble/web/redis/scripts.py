"""The scripts that change a gallery in Redis. Each runs whole or not at all.

Laws: (1) only the producer whose token is in the stream's hash can write; (2) a write names the entry of the write
before it, so a producer notices that the server has lost writes; (3) each entry names the entry before it in the log,
so a reader notices a gap; (4) the response id of a stream is never replaced by nothing.
Errors begin with a word: EXISTS (a stream of this name is shown), HELD (another producer has the lease,
for so many milliseconds), FENCED
(another producer has taken over), LOST (the server has lost the stream or its last writes).
Must not know: the form of the facts.
"""

from __future__ import annotations

MAX_ENTRIES = 10_000  # of the log, roughly

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

# KEYS meta leases epoch numbers expires; ARGV token lease_ms keep_ms epoch name kind.
# kind: 'produce' for a stream that a later producer can claim again, 'add' for one that has a single producer.
# Returns number, began_ms, next_frame, response cursor (JSON or ''). The same token may claim again.
CLAIM = (
    _APPEND
    + """
local kind, known = ARGV[6] or 'produce', redis.call('HMGET', KEYS[1], 'kind', 'token')
if known[1] and known[2] ~= ARGV[1] and (known[1] == 'add' or kind == 'add') then
  return redis.error_reply('EXISTS a stream of this name is shown')
end
local now, held = now_ms(), redis.call('ZSCORE', KEYS[2], ARGV[5])
if held and tonumber(held) > now and known[2] and known[2] ~= ARGV[1] then
  return redis.error_reply(string.format('HELD %.0f', held - now))
end
redis.call('SET', KEYS[3], ARGV[4], 'NX')
if redis.call('HEXISTS', KEYS[1], 'number') == 0 then
  redis.call('HSET', KEYS[1], 'number', redis.call('INCR', KEYS[4]), 'began_ms', string.format('%.0f', now))
end
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'last', '', 'kind', kind)
redis.call('HDEL', KEYS[1], 'stop')
redis.call('ZADD', KEYS[2], string.format('%.0f', now + ARGV[2]), ARGV[5])
redis.call('ZADD', KEYS[5], string.format('%.0f', now + ARGV[3]), ARGV[5])
return redis.call('HMGET', KEYS[1], 'number', 'began_ms', 'next_frame', 'cursor')
"""
)

# KEYS log facts meta leases expires; ARGV token last_id max_entries lease_ms keep_ms name cursor next_frame, then for
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
local now = now_ms()
redis.call('ZADD', KEYS[4], string.format('%.0f', now + ARGV[4]), ARGV[6])
redis.call('ZADD', KEYS[5], string.format('%.0f', now + ARGV[5]), ARGV[6])
return {meta[3] or '', id}
"""
)

# KEYS meta. Returns 1 if there is a stream to stop.
STOP = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'stop', '1')
return 1
"""

# KEYS meta leases; ARGV token lease_ms name. Renews the lease where nothing can be written, because the memory is full.
RENEW = """#!lua flags=allow-oom
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZADD', KEYS[2], 'XX', string.format('%.0f', now + ARGV[2]), ARGV[3])
"""

# KEYS meta leases; ARGV token name. Returns 1 if the lease was this producer's.
RELEASE = """
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
return redis.call('ZREM', KEYS[2], ARGV[2])
"""

# KEYS log facts meta leases expires; ARGV max_entries name text, and 'expired' to remove it only if its time has come
# and it has no producer. A producer that still writes gets LOST. Returns 1 if there was a stream.
REMOVE = (
    _APPEND
    + """
local at = redis.call('ZSCORE', KEYS[5], ARGV[2])
if not at then return 0 end
local now, held = now_ms(), redis.call('ZSCORE', KEYS[4], ARGV[2])
if ARGV[4] == 'expired' and (tonumber(at) > now or (held and tonumber(held) > now)) then return 0 end
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('ZREM', KEYS[4], ARGV[2])
redis.call('ZREM', KEYS[5], ARGV[2])
append(KEYS[1], ARGV[1], ARGV[3])
return 1
"""
)
