"""The ledger's scripts. Each runs as one step in Redis.

KEYS[1..6], in all that change a batch: its hash (`events`, `size`, `attempts`, `first_seen`; `lease` once a worker has
begun on it, the time until which that worker is taken to be alive; `sweeps`, how often it was published again), the
result of a settled batch, and the whole: the open batches by first sight, those that wait for a worker and those that
one has begun on, each by the time from which it is overdue (sorted sets), and the number of outstanding events. Times
are seconds since 1970.
"""

from typing import Final

_OPEN_BATCH: Final = """
local function open_batch(key, id, events, size, attempts, due, first_seen)
  redis.call('HSET', key, 'events', events, 'size', size, 'first_seen', first_seen, 'attempts', attempts)
  redis.call('ZADD', KEYS[3], first_seen, id)
  redis.call('ZADD', KEYS[4], due, id)
  redis.call('INCRBY', KEYS[6], size)
end
"""

_CLOSE_BATCH: Final = """
local function close_batch(id)
  local size = redis.call('HGET', KEYS[1], 'size')
  if not size then return false end
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[3], id)
  redis.call('ZREM', KEYS[4], id)
  redis.call('ZREM', KEYS[5], id)
  redis.call('DECRBY', KEYS[6], size)
  return true
end
"""

# ARGV: id, events, size, attempts, due, now, the most events that may be outstanding. Returns how many are; -1 when the
# batch would bring them over that: then nothing was changed.
RECORD: Final = (
    _OPEN_BATCH
    + """
local outstanding = tonumber(redis.call('GET', KEYS[6]) or 0)
if redis.call('EXISTS', KEYS[1], KEYS[2]) > 0 then return outstanding end
if outstanding + ARGV[3] > tonumber(ARGV[7]) then return -1 end
open_batch(KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6])
return outstanding + ARGV[3]
"""
)

# ARGV: the id
FORGET: Final = _CLOSE_BATCH + "close_batch(ARGV[1])"

# ARGV: id, events, size, attempts, end of the lease, now. Returns attempts, first sight, the settled result or nothing,
# and 1 where another worker holds a lease: then nothing was changed.
BEGIN: Final = (
    _OPEN_BATCH
    + """
local settled = redis.call('GET', KEYS[2])
if settled then return {0, ARGV[6], settled, 0} end
if redis.call('EXISTS', KEYS[1]) == 0 then
  open_batch(KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6])
end
local first_seen, attempts, lease = unpack(redis.call('HMGET', KEYS[1], 'first_seen', 'attempts', 'lease'))
if lease and tonumber(lease) > tonumber(ARGV[6]) then return {tonumber(attempts), first_seen, '', 1} end
redis.call('HSET', KEYS[1], 'lease', ARGV[5])
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('ZADD', KEYS[5], ARGV[5], ARGV[1])
return {redis.call('HINCRBY', KEYS[1], 'attempts', 1), first_seen, '', 0}
"""
)

# KEYS: the batch's hash, and the begun batches by the time from which they are overdue. ARGV: id, end of the lease.
RENEW: Final = """
if redis.call('HEXISTS', KEYS[1], 'lease') == 0 then return 0 end
redis.call('HSET', KEYS[1], 'lease', ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
return 1
"""

# KEYS: batches by the time from which they are overdue. ARGV: the prefix of a batch's hash, now, at most how many,
# seconds until one is overdue again; twice as long each time, up to 64 times. Returns the id and events of each.
TAKE_OVERDUE: Final = """
local taken = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[2], 'LIMIT', 0, ARGV[3])) do
  local sweeps = redis.call('HINCRBY', ARGV[1] .. id, 'sweeps', 1)
  redis.call('ZADD', KEYS[1], ARGV[2] + ARGV[4] * 2 ^ math.min(sweeps - 1, 6), id)
  taken[#taken + 1] = {id, redis.call('HGET', ARGV[1] .. id, 'events')}
end
return taken
"""

# KEYS: also the stream of dead letters, then the hash of each successor. ARGV: id, result, seconds to remember it, cap
# of the stream, number of letters, letters..., then id, events, size, attempts, due of each successor. Returns 1 when
# this call closed the batch; 0 when it was closed before, and -1 when the stream is full: then nothing was changed.
SETTLE: Final = (
    _OPEN_BATCH
    + _CLOSE_BATCH
    + """
local id, letters = ARGV[1], tonumber(ARGV[5])
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if letters > 0 and redis.call('XLEN', KEYS[7]) + letters > tonumber(ARGV[4]) then return -1 end
local first_seen = redis.call('HGET', KEYS[1], 'first_seen')
for i = 6, 5 + letters do
  redis.call('XADD', KEYS[7], '*', 'letter', ARGV[i])
end
for i = 8, #KEYS do
  local at = 6 + letters + 5 * (i - 8)
  open_batch(KEYS[i], ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], first_seen)
end
close_batch(id)
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3])
return 1
"""
)

# KEYS: also the stream of dead letters. ARGV: id, due, now, then id and event of each letter. Deletes the letters, and
# opens a batch of the events of those that were still there. Returns its events, or nothing where all letters are gone.
# Run again for the same batch, as after a lost reply, it changes nothing and returns the same.
REOPEN: Final = (
    _OPEN_BATCH
    + """
if redis.call('EXISTS', KEYS[1]) == 1 then return redis.call('HGET', KEYS[1], 'events') end
local letters, events = {}, {}
for i = 4, #ARGV, 2 do
  if #redis.call('XRANGE', KEYS[7], ARGV[i], ARGV[i]) == 1 then
    letters[#letters + 1] = ARGV[i]
    events[#events + 1] = ARGV[i + 1]
  end
end
if #events == 0 then return false end
-- Joined as text: cjson would round ids of 64 bits.
local batch = '[' .. table.concat(events, ', ') .. ']'
-- First what Redis refuses when it is out of memory, while nothing is changed.
open_batch(KEYS[1], ARGV[1], batch, #events, 0, ARGV[2], ARGV[3])
for _, letter in ipairs(letters) do
  redis.call('XDEL', KEYS[7], letter)
end
return batch
"""
)
