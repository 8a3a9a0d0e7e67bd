"""Redis' users, one for each role: what of Redis each may touch, and by which commands. ADR 29.

`deploy/redis/users.acl` is the same for operators, who fill in their passwords. The integration test of the secure
stack runs everything on these users, and finds Redis' own log of what it refused (`ACL LOG`) empty.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from contract import INGEST_QUEUE, QUARANTINE_QUEUE, SEARCH_QUEUE

PRODUCER: Final = "producer"
WORKER: Final = "worker"
MONITOR: Final = "monitor"
LISTENER: Final = "listener"
ADMIN: Final = "admin"

# Keys. A queue is a list for each priority, whose names begin with that of the queue.
_INGEST: Final = f"{INGEST_QUEUE}*"
_SEARCH: Final = f"{SEARCH_QUEUE}*"
_QUARANTINE: Final = f"{QUARANTINE_QUEUE}*"
_LEDGER: Final = "{lookalike}:*"
_RESULTS: Final = "celery-task-meta-*"
# kombu's: which queues are bound to which exchange; where workers answer to pings; who listens
# to events; messages that are not acknowledged.
_BINDINGS: Final = "_kombu.binding*"
_REPLIES: Final = "*.reply.celery.pidbox*"
_LISTENERS: Final = "celeryev.*"
_UNACKED: Final = "unacked*"
# Whoever consumes asks kombu's question whether something is to be put back. Only workers get an answer: the others
# are told to put back nothing (`unacked_restore_limit`).
_QUESTION: Final = ("~unacked_mutex", "%R~unacked_index")
# Channels, which have the number of the broker's database: remote control, which workers listen to; what happens to
# tasks, which Flower does; signs of life, which workers do too. Who subscribes to a pattern may do so only if just that
# pattern stands here.
_CONTROL: Final = "/0.celery.pidbox"
_EVENTS: Final = "/0.celeryev/*"
_SIGNS_OF_LIFE: Final = "/0.celeryev/worker.*"

# By which redis-py says what it is. Redis knows it from 7.2 on; one before that refuses a file that has it.
SETINFO: Final = "client|setinfo"
_CONNECT: Final = ("ping", "select", SETINFO, "client|setname", "multi", "exec", "discard", "watch", "unwatch")
_SCRIPTS: Final = ("evalsha", "eval", "script|load", "script|exists")
_SEND: Final = ("lpush", "llen", "exists", "publish", "sadd", "smembers", "zadd", "zrangebyscore", "time")
_REPLY: Final = ("brpop", "del", "srem", "zrem", "set", "get", "zrange")
_RESULT: Final = ("get", "mget", "del", "subscribe", "unsubscribe", "ping")
_RECORD: Final = (
    *("exists", "get", "set", "del", "incrby", "decrby"),
    *("hget", "hmget", "hset", "hincrby", "hdel", "hexists", "hgetall"),
    *("zadd", "zrem", "zrange", "zrangebyscore"),
    *("xlen", "xrange", "xrevrange", "xadd", "xdel"),
)
_WORK: Final = ("rpush", "setex", "expire", "unlink", "psubscribe", "punsubscribe", "subscribe", "unsubscribe")
_LOOK: Final = (
    *("get", "hget", "hmget", "hgetall", "xlen", "xrange", "xrevrange", "zrange", "zcard"),
    *("subscribe", "unsubscribe", "psubscribe", "punsubscribe"),
)


@dataclass(frozen=True, slots=True)
class _Role:
    """What a role may do.

    Attributes:
        keys: patterns: after `~` to read and write, after `%R~` to read.
        channels: patterns.
        commands: by name; with `|`, a subcommand.
    """

    keys: Sequence[str]
    channels: Sequence[str]
    commands: Sequence[str]


def _writing(*patterns: str) -> Sequence[str]:
    return [f"~{pattern}" for pattern in patterns]


def _reading(*patterns: str) -> Sequence[str]:
    return [f"%R~{pattern}" for pattern in patterns]


_ROLES: Final[Mapping[str, _Role]] = {
    # Enqueues, searches, and whatever else the client and the command line do; the exporter asks for Redis' memory.
    PRODUCER: _Role(
        [*_writing(_INGEST, _SEARCH, _LEDGER, _RESULTS, _BINDINGS, _REPLIES), *_reading(_QUARANTINE), *_QUESTION],
        [_CONTROL, _RESULTS],
        [*_CONNECT, *_SCRIPTS, *_SEND, *_REPLY, *_RESULT, *_RECORD, "info"],
    ),
    WORKER: _Role(
        _writing(_INGEST, _SEARCH, _QUARANTINE, _LEDGER, _RESULTS, _BINDINGS, _REPLIES, _LISTENERS, _UNACKED),
        [_CONTROL, _EVENTS, _SIGNS_OF_LIFE, _RESULTS],
        [*_CONNECT, *_SCRIPTS, *_SEND, *_REPLY, *_RESULT, *_RECORD, *_WORK],
    ),
    # Flower: it looks, and asks workers. What it writes is kombu's.
    MONITOR: _Role(
        [*_writing(_BINDINGS, _REPLIES, _LISTENERS), *_reading(_INGEST, _SEARCH, _QUARANTINE, _LEDGER), *_QUESTION],
        [_CONTROL, _EVENTS],
        [*_CONNECT, *_SCRIPTS, *_SEND, *_REPLY, *_LOOK],
    ),
    # Enqueues, and does nothing else: it stands nearest to the outside.
    LISTENER: _Role(
        _writing(_INGEST, _LEDGER, _BINDINGS),
        [],
        [*_CONNECT, *_SCRIPTS, *_SEND, *_RECORD],
    ),
}
ROLES: Final = (*_ROLES, ADMIN)
# Nobody can log in as it, and yet it may do everything: Redis 7.0.15 replays the transactions and scripts of its
# append-only file as this user, and drops what it may not do.
_DEFAULT: Final = "default off resetpass ~* &* +@all"
# For Redis' own health check, by any password.
_HEALTH: Final = "health on nopass resetkeys resetchannels -@all +ping"


def render(passwords: Mapping[str, str], without: Collection[str] = ()) -> str:
    """Render the file of users, as Redis' `aclfile` takes it.

    Args:
        passwords: of each of `ROLES`. Only their SHA-256 stands in the file.
        without: commands that the server does not know.
    """
    text = template({role: sha256(passwords[role].encode()).hexdigest() for role in ROLES})
    for command in without:
        text = text.replace(f" +{command}", "")
    return text


def template(digests: Mapping[str, str]) -> str:
    """Render the file of users with these SHA-256 of their passwords, in hexadecimal."""
    users = [_line(role, rules, digests[role]) for role, rules in _ROLES.items()]
    return "".join(
        f"user {user}\n" for user in (_DEFAULT, _HEALTH, *users, f"{ADMIN} on #{digests[ADMIN]} ~* &* +@all")
    )


def _line(name: str, role: _Role, digest: str) -> str:
    channels = (f"&{channel}" for channel in role.channels)
    commands = (f"+{command}" for command in sorted(set(role.commands)))
    return " ".join((name, "on", f"#{digest}", *role.keys, "resetchannels", *channels, "-@all", *commands))


def blank() -> str:
    """Render the file of users with `SHA256_OF_` and the role's name in the place of each digest."""
    return template({role: f"SHA256_OF_{role.upper()}" for role in ROLES})
