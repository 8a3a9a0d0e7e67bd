"""Companies that have the same pictures, hostile calls of every kind, and the check that no answer tells of others.

All companies have the same vectors and the same `meta_id`s, so whatever a search lets through of another company is at
the top of its matches. The company's number stands in each of its keys, so a text tells whose it is.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from random import Random
from typing import Any, Final, NamedTuple

import numpy as np
from PIL import Image

from contract import (
    DELETE,
    DUPLICATES,
    MEMBERS,
    PROFILES,
    SEARCH,
    SEARCH_MANY,
    InvalidMessage,
    QueryNotFound,
    QueryRejected,
    ServiceUnavailable,
    row_id,
)
from worker.core.fingerprinting import Fingerprinter
from worker.core.fingerprints import Hash
from worker.ports import Row

LEAST, MOST = -(2**63), 2**63 - 1
# Several share a partition of 4 or 16, and several differ by what a careless conversion would drop.
COMPANIES: Final = (0, 1, -1, 2, 5, 17, 18, 2**32, 2**32 + 1, 10**15, MOST, MOST - 1, LEAST, LEAST + 1)
SERVED: Final = ("ahash", "pdq.upright")
# What a caller may be told: everything else is a fault.
TOLD: Final = (InvalidMessage, QueryNotFound, QueryRejected, ServiceUnavailable)
PICTURES: Final = 4

_METAS: Final = (*range(60), -1, 2**32, MOST, LEAST)
_DELETED: Final = range(100, 140)
_VECTORS: Final = 24
# The end of a key that would be more, were it ever part of a filter.
_ENDS: Final = (
    "a.png",
    '" or company_id != 0 or "" == "',
    "' OR 1=1 --",
    "图片/ +%.jpg",
    "%2e%2e/",
    "x\\",
    "\u202e.png",
)
_NO_IDS: Final[tuple[Any, ...]] = (
    True,
    False,
    1.0,
    1e300,
    float("nan"),
    "1",
    "1 or 1 == 1",
    "' or company_id > 0 or '",
    "\u0661",  # a one that int() takes
    "",
    "\0",
    [1],
    [1, 5],
    {"$ne": 1},
    {"company_id": 1},
    MOST + 1,
    LEAST - 1,
    2**64 + 1,
    10**30,
    None,
)
_ODD: Final[tuple[Any, ...]] = (
    *_NO_IDS,
    0,
    -1,
    1,
    1000,
    MOST,
    LEAST,
    "ahash",
    "pdq.upright",
    "phash",
    "../images",
    "00" * 8,
    [],
    {},
)
_FIELDS: Final = ("company_id", "all_companies", "limit", "max_distance", "max_chance", "hash", "members", "fresh")
_EXTRAS: Final = ("filter", "expr", "partition_names", "company_ids", "tenant", "scope", "output_fields", "version")
_OWNER: Final = re.compile(r"of(-?\d+)x/")


class Call(NamedTuple):
    """A task by its name, and its arguments as JSON takes them."""

    task: str
    message: dict[str, Any]

    @property
    def company(self) -> int | None:
        """Whose pictures may be told of; None: the call is to be refused."""
        company = self.message.get("company_id")
        return company if type(company) is int and LEAST <= company <= MOST else None

    @property
    def queries(self) -> int:
        """How many pictures it asks after."""
        queries = self.message.get("queries")
        return max(len(queries), 1) if isinstance(queries, list) else 1


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a call: a value, or an error."""

    value: Any = None
    error: Exception | None = None


def answer_of(work: Callable[[], Any]) -> Answer:
    """Do it, and take what comes."""
    try:
        return Answer(value=work())
    except Exception as error:  # noqa: BLE001 - whatever it is, it is judged
        return Answer(error=error)


def pictures() -> list[bytes]:
    """A few PNGs that do not look alike."""
    random = np.random.default_rng(7)
    made = []
    for _ in range(PICTURES):
        file = BytesIO()
        noise = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        noise.resize((48, 48), Image.Resampling.BICUBIC).save(file, "PNG")
        made.append(file.getvalue())
    return made


def key_of(company_id: int, meta_id: int) -> str:
    """The object of a picture: its company stands in it, and what comes after may be hostile."""
    end = "p.png" if meta_id < PICTURES else _ENDS[meta_id % len(_ENDS)]
    return f"of{company_id}x/{meta_id}/{end}"


def rows_of(company_id: int) -> list[Row]:
    """The company's rows: the same vectors as every other's, in threes; the first few are of `pictures`."""
    fingerprint = Fingerprinter([PROFILES[name] for name in SERVED], fast=False)
    real = [fingerprint(body).hashes for body in pictures()]
    random = Random(11)
    drawn = [tuple(Hash(name, random.randbytes(PROFILES[name].bytes), 80) for name in SERVED) for _ in range(_VECTORS)]
    blank = tuple(Hash(name, bytes(PROFILES[name].bytes), 0) for name in SERVED)
    choices = [*drawn, blank]
    return [
        Row(
            id=row_id(company_id, meta_id),
            meta_id=meta_id,
            company_id=company_id,
            hashes=real[meta_id] if 0 <= meta_id < PICTURES else choices[meta_id % len(choices)],
            object_key=key_of(company_id, meta_id),
            content_crc=company_id % 2**64,
            indexed_at=meta_id % 1000,
            width=48,
            height=48,
        )
        for meta_id in (*_METAS, *_DELETED)
    ]


class Calls:
    """Makes calls without end, the same for the same seed.

    Args:
        seed: of the choices.
        companies: who asks, and after whom.
        deletes: whether pictures are deleted and grouped too, which changes what is stored and is slow.
    """

    def __init__(self, seed: int, companies: Sequence[int] = COMPANIES, *, deletes: bool = True) -> None:
        self._random = Random(seed)
        self._companies = companies
        self._images = [base64.b64encode(body).decode() for body in pictures()]
        stored = [hashed for row in rows_of(companies[0]) for hashed in row.hashes]
        self._vectors = {name: [one.vector.hex() for one in stored if one.profile == name] for name in SERVED}
        # A delete or a step of grouping reads with Strong consistency, 0.3 s each.
        slow = 3 if deletes else 0
        self._kinds = {self._search: 600, self._search_many: 200, self._members: 194, self._duplicates: slow}
        self._kinds |= {self._delete: slow}

    def __iter__(self) -> Iterator[Call]:
        """Yield calls, three in eight of them with something in them that nobody should send."""
        kinds, weights = list(self._kinds), list(self._kinds.values())
        while True:
            (kind,) = self._random.choices(kinds, weights)
            call = kind()
            for _ in range(self._random.choice((0, 0, 0, 0, 0, 1, 1, 2))):
                self._spoil(call.message)
            yield call

    def _one(self, *chances: tuple[float, Any]) -> dict[str, Any]:
        return {name: make() for chance, (name, make) in chances if self._random.random() < chance}

    def _meta(self) -> int:
        meta_id: int = self._random.choice((*_METAS, 61, 10**9, self._random.randrange(LEAST, MOST)))
        return meta_id

    def _key(self) -> str:
        company = self._random.choice(self._companies)
        return key_of(company, self._random.choice((0, 1, 2, 3, 3, self._meta())))

    def _image(self) -> str:
        image = self._random.choice(self._images)
        return self._random.choice((*[image] * 5, image[: len(image) // 8 * 4], "aGVsbG8=", "no base64", ""))

    def _vector(self, options: Mapping[str, Any]) -> str:
        """A vector that is stored, one near it, any, and now and then one that is none, or another profile's."""
        if self._random.random() < 0.01:
            return self._random.choice(("zz", "0" * 15, *(self._vectors[name][0] for name in SERVED)))
        whole = self._random.choice(self._vectors[options.get("hash", SERVED[0])])
        changed = f"{int(whole, 16) ^ 1 << self._random.randrange(60):0{len(whole)}x}"
        return self._random.choice((whole, whole, changed, changed, self._random.randbytes(len(whole) // 2).hex()))

    def _query(self, options: Mapping[str, Any]) -> dict[str, Any]:
        names: Mapping[str, Callable[[], Any]] = {
            "vector": lambda: self._vector(options),
            "meta_id": self._meta,
            "object_key": self._key,
            "image": self._image,
        }
        (name,) = self._random.choices(list(names), (60, 25, 10, 5))
        return {name: names[name]()}

    def _options(self) -> dict[str, Any]:
        random = self._random
        options = {"company_id": random.choice(self._companies)} | self._one(
            (0.5, ("limit", lambda: random.choice((1, 2, 10, 100, 1000)))),
            (0.2, ("max_distance", lambda: random.randint(0, 64))),
            (0.1, ("max_chance", lambda: random.choice((0, 0.01, 1, 1e9)))),
            (0.2, ("hash", lambda: random.choice(SERVED))),
            (0.3, ("collapse", lambda: False)),
            (0.3, ("members", lambda: random.choice((0, 1, 100)))),
            (0.3, ("low_quality", lambda: True)),
            (0.005, ("fresh", lambda: True)),
            (0.05, ("verify", lambda: True)),
        )
        if random.random() < 0.05:
            options["all_companies"] = random.choice((False, 1, 1.0, "true", "True", [True], {"a": True}))
        return options

    def _search(self) -> Call:
        options = self._options()
        return Call(SEARCH, {"query": self._query(options)} | options)

    def _search_many(self) -> Call:
        count = self._random.choice((1, 2, 3, 5, 8, 20))
        if self._random.random() < 0.02:
            count = self._random.choice((0, 100, 101))
        options = self._options()
        # A batch is refused whole for one query: most are of vectors.
        queries = [
            self._query(options) if self._random.random() < 0.1 else {"vector": self._vector(options)}
            for _ in range(count)
        ]
        return Call(SEARCH_MANY, {"queries": queries} | options)

    def _members(self) -> Call:
        options = self._one(
            (0.5, ("after", self._meta)),
            (0.5, ("limit", lambda: self._random.choice((1, 3, 1000)))),
            (0.3, ("low_quality", lambda: True)),
            (0.2, ("hash", lambda: self._random.choice(SERVED))),
        )
        return Call(MEMBERS, {"company_id": self._random.choice(self._companies), "meta_id": self._meta()} | options)

    def _duplicates(self) -> Call:
        options = self._one(
            (0.5, ("max_distance", lambda: self._random.choice((0, 8, 64)))),
            (0.5, ("low_quality", lambda: True)),
            (0.3, ("restart", lambda: True)),
        )
        return Call(DUPLICATES, {"company_id": self._random.choice(self._companies)} | options)

    def _delete(self) -> Call:
        random = self._random
        pairs = [(random.choice(self._companies), random.choice(_DELETED)) for _ in range(random.randint(1, 3))]
        return Call(DELETE, {"items": [{"meta_id": meta, "company_id": company} for company, meta in pairs]})

    def _spoil(self, message: dict[str, Any]) -> None:
        """Put something odd into the message, or into one of its queries or items."""
        random = self._random
        inner = [message.get("query"), *message.get("queries", ()), *message.get("items", ())]
        inside = [one for one in inner if isinstance(one, dict)]
        if inside and random.random() < 0.3:
            target = random.choice(inside)
            target[random.choice((*target, "meta_id", "company_id", "vector", "object_key"))] = random.choice(_ODD)
        elif message and random.random() < 0.15:
            message.pop(random.choice(list(message)))
        elif random.random() < 0.5:
            message["company_id"] = random.choice((*_NO_IDS, MOST, LEAST, 3))
        else:
            field = random.choice((*_FIELDS, *_EXTRAS))
            odd = random.choice(_ODD)
            # Only the JSON value true asks for all companies, and who may send that may see them.
            message[field] = False if field == "all_companies" and odd is True else odd


def flaws(call: Call, answer: Answer) -> list[str]:
    """Say what is wrong with an answer; nothing, where it tells of the asking company's pictures only.

    An error may name the company's own objects, and what the caller has named. A call without a company that is one is
    to be refused.
    """
    if answer.error is not None:
        known = {str(call.company), *_OWNER.findall(json.dumps(call.message, ensure_ascii=False))}
        said = [f"an error names company {owner}" for owner in _OWNER.findall(str(answer.error)) if owner not in known]
        if not isinstance(answer.error, TOLD):
            said.append(f"not an error of the contract: {answer.error!r}")
        return said
    if call.task == DELETE:
        return [] if set(answer.value) == {"deleted"} else [f"a delete answers {answer.value!r}"]
    if call.company is None:
        return ["it was answered, though it names no company"]
    owners = set(_OWNER.findall(json.dumps(answer.value, ensure_ascii=False)))
    said = [f"a key of company {owner} is told of" for owner in owners - {str(call.company)}]
    return said + [flaw for found in _rows_in(answer.value) for flaw in _row_flaws(call.company, found)]


def rows_told(answer: Answer) -> int:
    """How many rows an answer tells of."""
    return sum(1 for _ in _rows_in(answer.value))


def _rows_in(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "meta_id" in value:
            yield value
        for inner in value.values():
            yield from _rows_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _rows_in(inner)


def _row_flaws(company: int, found: Mapping[str, Any]) -> Iterator[str]:
    # The groups of a company name no company; the id says whose the picture is.
    if found.get("company_id", company) != company:
        yield f"a row of company {found['company_id']} is told of"
    if found["id"] != row_id(company, found["meta_id"]):
        yield f"the id {found['id']} is not that of picture {found['meta_id']} of company {company}"
