"""Claims on pictures, and the rows last known to be right, in the ledger's Redis.

Each row id has two keys. Its claim holds the token of the attempt that claimed it last, or `delete:` and the token of
the delete that has locked it. The other key holds its row: Milvus shows a row to a Bounded read only seconds after it
acknowledged it, a Strong read costs 0.3 s, and upload events are often repeated within that time.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final
from uuid import uuid4

import redis

from worker.adapters.redis_errors import redis_errors
from worker.core.errors import Transient
from worker.core.fingerprints import Hash
from worker.ports import Claimed, Row

# Bounded staleness is 5 s unless Milvus is configured otherwise ("common.gracefulTime").
_ROW_SECONDS: Final = 60
# Twice the visibility timeout, below which a batch stays. An attempt that takes longer has lost its claims.
_CLAIM_SECONDS: Final = 600

_PLAIN: Final = ("meta_id", "company_id", "object_key", "content_crc", "indexed_at", "width", "height")

_LOCKED: Final = "locked"
_DOUBTFUL: Final = "doubtful"

# In all scripts KEYS are the claim and the row of each id. ARGV: token, seconds. Returns the row of each id, `doubtful`
# or nothing; `locked` where a delete has it, which is not claimed.
_CLAIM: Final = """
local answers = {}
for i = 1, #KEYS, 2 do
  local held = redis.call('GET', KEYS[i])
  if held and string.sub(held, 1, 7) == 'delete:' then
    answers[#answers + 1] = 'locked'
  else
    redis.call('SET', KEYS[i], ARGV[1], 'EX', ARGV[2])
    answers[#answers + 1] = redis.call('GET', KEYS[i + 1]) or ''
  end
end
return answers
"""

# ARGV: token, seconds to remember a row, seconds to remember a doubt, then the row of each id, or nothing where its
# write failed. Returns which of them (1 is the first) are lost.
#
# An attempt that lost its claim may have written over the row of one that still holds its own: that one must not
# remember its row either, so a doubt outlasts every claim that is held now.
_CONFIRM: Final = """
local lost = {}
for i = 1, #KEYS, 2 do
  local n = (i + 1) / 2
  local row, known = ARGV[3 + n], redis.call('GET', KEYS[i + 1])
  local ours = redis.call('GET', KEYS[i]) == ARGV[1]
  if ours and row ~= '' then
    redis.call('DEL', KEYS[i])
    if known ~= 'doubtful' and known ~= row then redis.call('SET', KEYS[i + 1], row, 'EX', ARGV[2]) end
  else
    redis.call('SET', KEYS[i + 1], 'doubtful', 'EX', ARGV[3])
    if not ours then lost[#lost + 1] = n end
  end
end
return lost
"""

# ARGV: token, milliseconds. Returns 0, and changes nothing, where another delete has one of them.
_LOCK: Final = """
for i = 1, #KEYS, 2 do
  local held = redis.call('GET', KEYS[i])
  if held and string.sub(held, 1, 7) == 'delete:' then return 0 end
end
for i = 1, #KEYS, 2 do
  redis.call('SET', KEYS[i], 'delete:' .. ARGV[1], 'PX', ARGV[2])
  redis.call('DEL', KEYS[i + 1])
end
return 1
"""

# ARGV: token.
_UNLOCK: Final = """
for i = 1, #KEYS, 2 do
  if redis.call('GET', KEYS[i]) == 'delete:' .. ARGV[1] then redis.call('DEL', KEYS[i]) end
end
"""


class RedisClaims:
    """The claims on the pictures of one index, by any worker, whichever profiles it hashes by.

    `collection` is what the names of the index's collections begin with.
    """

    def __init__(
        self,
        connection: redis.Redis,
        *,
        collection: str,
        lock_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._claim_prefix: Final = f"{{lookalike}}:claim:{collection}:"
        self._row_prefix: Final = f"{{lookalike}}:row:2:{collection}:"  # the second form in which rows were written
        self._lock_seconds = lock_seconds
        self._monotonic = monotonic
        self._claim = connection.register_script(_CLAIM)
        self._confirm = connection.register_script(_CONFIRM)
        self._lock = connection.register_script(_LOCK)
        self._unlock = connection.register_script(_UNLOCK)

    def claim(self, token: str, ids: Iterable[int]) -> Claimed:
        """Claim pictures, and read what is remembered of their rows."""
        asked = list(ids)
        if not asked:
            return Claimed()
        with redis_errors():
            answers = self._claim(keys=self._keys(asked), args=[token, _CLAIM_SECONDS])
        known = dict(zip(asked, answers, strict=True))
        return Claimed(
            {id_: _load(text) for id_, text in known.items() if text.startswith("[")},
            doubtful=frozenset(id_ for id_, text in known.items() if text == _DOUBTFUL),
            locked=frozenset(id_ for id_, text in known.items() if text == _LOCKED),
        )

    def confirm(self, token: str, rows: Sequence[Row], failed: Iterable[int] = ()) -> set[int]:
        """End an attempt's claims. Rows whose claim was still the attempt's own are remembered."""
        ended = {row.id: _dump(row) for row in rows} | dict.fromkeys(failed, "")
        if not ended:
            return set()
        with redis_errors():
            lost = self._confirm(keys=self._keys(ended), args=[token, _ROW_SECONDS, _CLAIM_SECONDS, *ended.values()])
        asked = list(ended)
        return {asked[n - 1] for n in lost}

    @contextmanager
    def lock(self, ids: Iterable[int]) -> Iterator[float]:
        """Keep attempts away from pictures that are being deleted."""
        token = uuid4().hex
        keys = self._keys(ids)
        until = self._monotonic() + self._lock_seconds
        with redis_errors():
            locked = self._lock(keys=keys, args=[token, int(self._lock_seconds * 1000)])
        if not locked:
            raise Transient("another delete of the same picture is under way")
        try:
            yield until
        finally:
            with suppress(Transient), redis_errors():  # it ends by itself
                self._unlock(keys=keys, args=[token])

    def _keys(self, ids: Iterable[int]) -> list[str]:
        return [f"{prefix}{id_}" for id_ in ids for prefix in (self._claim_prefix, self._row_prefix)]


def _dump(row: Row) -> str:
    hashes = [[hashed.profile, hashed.vector.hex(), hashed.quality] for hashed in row.hashes]
    return json.dumps([row.id, hashes, *(getattr(row, name) for name in _PLAIN)])


def _load(text: str) -> Row:
    id_, hashes, *plain = json.loads(text)
    return Row(
        id=id_,
        hashes=tuple(Hash(profile, bytes.fromhex(vector), quality) for profile, vector, quality in hashes),
        **dict(zip(_PLAIN, plain, strict=True)),
    )
