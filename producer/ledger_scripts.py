"""The ledger's scripts. Each runs as one step in Redis.

KEYS[1..6], in all that change a batch: its hash, the result of a settled batch, and the whole: the open batches by
first sight, those that wait for a worker and those that one has begun on, each by the time from which it is overdue
(sorted sets), and the number of outstanding events. Of those that wait there is a set for each queue: KEYS[4] is what
the names of these begin with. Times are seconds since 1970.

The hash of a batch: `events`, `size`, `queue`, `attempts`, `first_seen`; `lease` while a worker is at it, the time
until which that worker is taken to be alive; `deaths` and `fate`, how many workers died with it and how the last one
ended; `sweeps`, how often it was published again.
"""

from typing import Final

_OPEN_BATCH: Final = """
local function open_batch(key, id, events, size, attempts, deaths, queue, due, first_seen)
  redis.call('HSET', key, 'events', events, 'size', size, 'queue', queue, 'first_seen', first_seen,
    'attempts', attempts, 'deaths', deaths)
  redis.call('ZADD', KEYS[3], first_seen, id)
  redis.call('ZADD', KEYS[4] .. ':' .. queue, due, id)
  redis.call('INCRBY', KEYS[6], size)
end
"""

_CLOSE_BATCH: Final = """
local function close_batch(id)
  local size, queue = unpack(redis.call('HMGET', KEYS[1], 'size', 'queue'))
  if not size then return false end
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[3], id)
  redis.call('ZREM', KEYS[4] .. ':' .. queue, id)
  redis.call('ZREM', KEYS[5], id)
  redis.call('DECRBY', KEYS[6], size)
  return true
end
"""

# ARGV: id, events, size, attempts, deaths, queue, due, now, the most events that may be outstanding. Returns how many
# are; -1 when the batch would bring them over that: then nothing was changed.
RECORD: Final = (
    _OPEN_BATCH
    + """
local outstanding = tonumber(redis.call('GET', KEYS[6]) or 0)
if redis.call('EXISTS', KEYS[1], KEYS[2]) > 0 then return outstanding end
if outstanding + ARGV[3] > tonumber(ARGV[9]) then return -1 end
open_batch(KEYS[1], unpack(ARGV, 1, 8))
return outstanding + ARGV[3]
"""
)

# ARGV: the id
FORGET: Final = _CLOSE_BATCH + "close_batch(ARGV[1])"

# ARGV: id, events, size, attempts, deaths, queue, due, now, end of the lease. Returns attempts, first sight, the
# settled result or nothing, 1 where another worker holds a lease (then nothing was changed), queue, deaths, fate or
# nothing. A lease that has run out is that of a worker that died.
BEGIN: Final = (
    _OPEN_BATCH
    + """
local settled = redis.call('GET', KEYS[2])
if settled then return {0, ARGV[8], settled, 0, ARGV[6], 0, ''} end
if redis.call('EXISTS', KEYS[1]) == 0 then
  open_batch(KEYS[1], unpack(ARGV, 1, 8))
end
local lease = redis.call('HGET', KEYS[1], 'lease')
local busy = lease and tonumber(lease) > tonumber(ARGV[8])
if not busy then
  if lease then
    redis.call('HINCRBY', KEYS[1], 'deaths', 1)
    redis.call('HSET', KEYS[1], 'fate', 'crash')
  end
  redis.call('HINCRBY', KEYS[1], 'attempts', 1)
  redis.call('HSET', KEYS[1], 'lease', ARGV[9])
  redis.call('ZREM', KEYS[4] .. ':' .. redis.call('HGET', KEYS[1], 'queue'), ARGV[1])
  redis.call('ZADD', KEYS[5], ARGV[9], ARGV[1])
end
local attempts, first_seen, queue, deaths, fate =
  unpack(redis.call('HMGET', KEYS[1], 'attempts', 'first_seen', 'queue', 'deaths', 'fate'))
return {tonumber(attempts), first_seen, '', busy and 1 or 0, queue, tonumber(deaths), fate or ''}
"""
)

# KEYS: the batch's hash, and the begun batches by the time from which they are overdue. ARGV: id, end of the lease.
RENEW: Final = """
if redis.call('HEXISTS', KEYS[1], 'lease') == 0 then return 0 end
redis.call('HSET', KEYS[1], 'lease', ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
return 1
"""

_END_LEASE: Final = """
local function end_lease(id, due)
  if redis.call('HDEL', KEYS[1], 'lease') == 0 then return false end
  redis.call('ZREM', KEYS[5], id)
  redis.call('ZADD', KEYS[4] .. ':' .. redis.call('HGET', KEYS[1], 'queue'), due, id)
  return true
end
"""

# ARGV: id, due.
LET_GO: Final = (
    _END_LEASE
    + """
if end_lease(ARGV[1], ARGV[2]) then redis.call('HINCRBY', KEYS[1], 'attempts', -1) end
"""
)

# ARGV: id, fate, due. Returns the events and the queue, or nothing where no worker held the batch.
DIED: Final = (
    _END_LEASE
    + """
if not end_lease(ARGV[1], ARGV[3]) then return false end
redis.call('HINCRBY', KEYS[1], 'deaths', 1)
redis.call('HSET', KEYS[1], 'fate', ARGV[2])
return redis.call('HMGET', KEYS[1], 'events', 'queue')
"""
)

# KEYS: batches by the time from which they are overdue. ARGV: the prefix of a batch's hash, now, at most how many,
# seconds until one is overdue again; twice as long each time, up to 64 times. Returns the id, events and queue
# of each.
TAKE_OVERDUE: Final = """
local taken = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[2], 'LIMIT', 0, ARGV[3])) do
  local sweeps = redis.call('HINCRBY', ARGV[1] .. id, 'sweeps', 1)
  redis.call('ZADD', KEYS[1], ARGV[2] + ARGV[4] * 2 ^ math.min(sweeps - 1, 6), id)
  taken[#taken + 1] = {id, unpack(redis.call('HMGET', ARGV[1] .. id, 'events', 'queue'))}
end
return taken
"""

# KEYS: also the stream of dead letters, then the hash of each successor. ARGV: id, result, seconds to remember it, cap
# of the stream, number of letters, letters..., then id, events, size, attempts, deaths, queue, due of each successor.
# Returns 1 when this call closed the batch; 0 when it was closed before, and -1 when the stream is full: then nothing
# was changed.
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
  local at = 6 + letters + 7 * (i - 8)
  local batch = {unpack(ARGV, at, at + 6)}
  batch[8] = first_seen
  open_batch(KEYS[i], unpack(batch))
end
close_batch(id)
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3])
return 1
"""
)

# KEYS: also the stream of dead letters. ARGV: id, queue, due, now, then id and event of each letter. Deletes the
# letters, and opens a batch of the events of those that were still there. Returns its events, or nothing where all are
# gone.
# Run again for the same batch, as after a lost reply, it changes nothing and returns the same.
REOPEN: Final = (
    _OPEN_BATCH
    + """
if redis.call('EXISTS', KEYS[1]) == 1 then return redis.call('HGET', KEYS[1], 'events') end
local letters, events = {}, {}
for i = 5, #ARGV, 2 do
  if #redis.call('XRANGE', KEYS[7], ARGV[i], ARGV[i]) == 1 then
    letters[#letters + 1] = ARGV[i]
    events[#events + 1] = ARGV[i + 1]
  end
end
if #events == 0 then return false end
-- Joined as text: cjson would round ids of 64 bits.
local batch = '[' .. table.concat(events, ', ') .. ']'
-- First what Redis refuses when it is out of memory, while nothing is changed.
open_batch(KEYS[1], ARGV[1], batch, #events, 0, 0, ARGV[2], ARGV[3], ARGV[4])
for _, letter in ipairs(letters) do
  redis.call('XDEL', KEYS[7], letter)
end
return batch
"""
)
