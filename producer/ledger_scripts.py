"""The ledger's scripts. Each runs as one step in Redis.

KEYS[1..4], in all of them: the batch's hash (`events`, `size`, `attempts`, `first_seen`), the result of a settled
batch, the open batches by first sight (sorted set), and the number of outstanding events.
"""

from typing import Final

_OPEN_BATCH: Final = """
local function open_batch(key, id, events, size, attempts, first_seen)
  redis.call('HSET', key, 'events', events, 'size', size, 'first_seen', first_seen, 'attempts', attempts)
  redis.call('ZADD', KEYS[3], first_seen, id)
  redis.call('INCRBY', KEYS[4], size)
end
"""

_CLOSE_BATCH: Final = """
local function close_batch(id)
  local size = redis.call('HGET', KEYS[1], 'size')
  if not size then return false end
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[3], id)
  redis.call('DECRBY', KEYS[4], size)
  return true
end
"""

# ARGV: id, events, size, attempts, now
RECORD: Final = (
    _OPEN_BATCH
    + """
if redis.call('EXISTS', KEYS[1], KEYS[2]) == 0 then
  open_batch(KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5])
end
"""
)

# ARGV: the id
FORGET: Final = _CLOSE_BATCH + "close_batch(ARGV[1])"

# ARGV: id, events, size, attempts, now. Returns attempts, first sight, the settled result or nothing.
BEGIN: Final = (
    _OPEN_BATCH
    + """
local settled = redis.call('GET', KEYS[2])
if settled then return {0, ARGV[5], settled} end
if redis.call('EXISTS', KEYS[1]) == 0 then
  open_batch(KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5])
end
return {redis.call('HINCRBY', KEYS[1], 'attempts', 1), redis.call('HGET', KEYS[1], 'first_seen'), ''}
"""
)

# KEYS: also the stream of dead letters, then the hash of each successor. ARGV: id, result, seconds to remember it, cap
# of the stream, number of letters, letters..., then id, events, size, attempts of each successor. Returns 1 when
# this call closed the batch; 0 when it was closed before, and -1 when the stream is full: then nothing was changed.
SETTLE: Final = (
    _OPEN_BATCH
    + _CLOSE_BATCH
    + """
local id, letters = ARGV[1], tonumber(ARGV[5])
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if letters > 0 and redis.call('XLEN', KEYS[5]) + letters > tonumber(ARGV[4]) then return -1 end
local first_seen = redis.call('HGET', KEYS[1], 'first_seen')
for i = 6, 5 + letters do
  redis.call('XADD', KEYS[5], '*', 'letter', ARGV[i])
end
for i = 6, #KEYS do
  local at = 6 + letters + 4 * (i - 6)
  open_batch(KEYS[i], ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], first_seen)
end
close_batch(id)
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3])
return 1
"""
)
