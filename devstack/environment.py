"""The variables that say where everything is: for shells and workers, and in the file `env`."""

import re
import shlex
from collections.abc import Mapping
from typing import Final

from devstack import acl, milvus, valkey
from devstack.certificates import Certificates
from devstack.errors import StackError
from devstack.identity import MARK
from devstack.programs import FLOWER, FLOWER_USER, Kind
from devstack.state import State

_PREFIX: Final = "LOOKALIKE_"
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Names that a stack defines, whether it runs the service or not. A caller's value for these is never passed on.
DEFINED: Final = frozenset(
    {
        "LOOKALIKE_BROKER_URL",
        "LOOKALIKE_RESULT_BACKEND_URL",
        "LOOKALIKE_LEDGER_URL",
        "LOOKALIKE_MILVUS_URI",
        "LOOKALIKE_MILVUS_TOKEN",
        "LOOKALIKE_MILVUS_CA",
        "LOOKALIKE_OSS_ENDPOINT",
        "LOOKALIKE_OSS_BUCKET",
        "LOOKALIKE_OSS_REGION",
        "LOOKALIKE_FLOWER_URL",
        "FLOWER_BASIC_AUTH",
        "OSS_ACCESS_KEY_ID",
        "OSS_ACCESS_KEY_SECRET",
    }
)
# Each program has a port of its own.
_METRICS_PORT: Final = "LOOKALIKE_METRICS_PORT"
# Of temporary credentials, which the stack's are not.
_SESSION_TOKEN: Final = "OSS_SESSION_TOKEN"  # noqa: S105 - a name
_NO_PROXY: Final = ("no_proxy", "NO_PROXY")
_DATABASES: Final = {
    "LOOKALIKE_BROKER_URL": valkey.BROKER_DATABASE,
    "LOOKALIKE_RESULT_BACKEND_URL": valkey.RESULT_DATABASE,
    "LOOKALIKE_LEDGER_URL": valkey.LEDGER_DATABASE,
}
_LOOPBACK: Final = "127.0.0.1,localhost"


def variables(state: State, role: str = acl.WORKER) -> dict[str, str]:
    """Name the addresses and credentials of what the stack runs.

    Args:
        state: of the stack.
        role: as whom a secure stack is used. Only a worker is told of Milvus and the bucket.
    """
    found = {}
    if Kind.VALKEY in state.programs:
        for name, database in _DATABASES.items():
            found[name] = _redis_url(state, database, role)
    if Kind.FLOWER in state.programs:
        found["LOOKALIKE_FLOWER_URL"] = f"http://127.0.0.1:{state.ports[FLOWER]}"
        if role in {acl.MONITOR, acl.WORKER}:  # a shell, which is given a worker's, may want to look
            found["FLOWER_BASIC_AUTH"] = f"{FLOWER_USER}:{state.flower_password}"
    return found | _for_workers(state) if role == acl.WORKER else found


def _redis_url(state: State, database: int, role: str) -> str:
    port = state.ports[Kind.VALKEY]
    if state.certificates is None:
        return valkey.url(port, database, state.valkey_password)
    authority = Certificates(state.certificates).authority
    return valkey.secure_url(port, database, role, state.passwords[role], authority)


def _for_workers(state: State) -> dict[str, str]:
    found = {"OSS_ACCESS_KEY_ID": state.access_key_id, "OSS_ACCESS_KEY_SECRET": state.access_key_secret}
    if Kind.MILVUS in state.programs:
        address = f"127.0.0.1:{state.ports[milvus.PROXY]}"
        found["LOOKALIKE_MILVUS_URI"] = f"http://{address}"
        if state.certificates is not None:
            found["LOOKALIKE_MILVUS_URI"] = f"https://{address}"
            found["LOOKALIKE_MILVUS_TOKEN"] = f"{milvus.USER}:{state.passwords[milvus.password_name(milvus.USER)]}"
            found["LOOKALIKE_MILVUS_CA"] = str(Certificates(state.certificates).authority)
    if Kind.OSS in state.programs:
        found["LOOKALIKE_OSS_ENDPOINT"] = f"http://127.0.0.1:{state.ports[Kind.OSS]}"
        found["LOOKALIKE_OSS_BUCKET"] = state.bucket
        found["LOOKALIKE_OSS_REGION"] = state.region
    return found


def for_programs(caller: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str]:
    """Give what every program finds in its environment: the caller's, with our addresses in the place of Lookalike's.

    Nothing on loopback goes through a proxy.
    """
    kept = {name: value for name, value in caller.items() if not name.startswith(_PREFIX) and name != _SESSION_TOKEN}
    for name in _NO_PROXY:
        kept[name] = ",".join(filter(None, (kept.get(name), _LOOPBACK)))
    return kept | dict(ours)


def tuning(caller: Mapping[str, str]) -> dict[str, str]:
    """Pick the caller's variables that tune workers: LOOKALIKE_HASH and whatever else we do not define."""
    return {
        name: value
        for name, value in caller.items()
        if name.startswith(_PREFIX) and name not in DEFINED | {MARK, _METRICS_PORT}
    }


def render(found: Mapping[str, str]) -> str:
    """Render a file that a shell can read: `set -a; . env; set +a`."""
    for name in found:
        if not _NAME.fullmatch(name):
            raise StackError(f"{name!r} is no name of a shell variable")
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in found.items())
