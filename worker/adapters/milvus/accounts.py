"""Milvus' users: a root whose password not everybody knows, and one that may do what workers do, and no more. ADR 29.

    python -m worker.adapters.milvus.accounts --user lookalike --user-password-file F --root-password-file G

reads `LOOKALIKE_MILVUS_URI` and `LOOKALIKE_MILVUS_CA`.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from pymilvus import MilvusClient, MilvusException

from contract import LookalikeError
from worker.adapters.milvus.connection import authority

ROOT: Final = "root"
# What root's password is before anybody changes it: "Authenticate User Access" in the Milvus documentation.
ROOT_AT_FIRST: Final = "Milvus"

# Found by taking away one after the other: without any of them some test of the secure stack fails.
PRIVILEGES: Final[Mapping[str, Sequence[str]]] = {
    "Global": ("CreateCollection", "DescribeCollection", "ShowCollections"),
    "Collection": (
        "CreateIndex",
        "CreatePartition",
        "Delete",
        "GetLoadState",
        "GetLoadingProgress",
        "IndexDetail",
        "Insert",
        "Load",
        "Query",
        "Search",
        "ShowPartitions",
        "Upsert",
    ),
}
_SECONDS: Final = 10


class AccountError(LookalikeError):
    """Milvus does not admit root with either password, or refuses what root asks."""


def admit(uri: str, ca: Path | None, *, root_password: str, user: str, user_password: str) -> None:
    """Give root its password, and make the user with the role that has `PRIVILEGES`. To do it again does no harm.

    Args:
        uri: of a Milvus that asks for users.
        ca: a file with its certificate authority.
        root_password: that root has, or is to have in the place of the one that everybody knows.
        user: that workers log in as; the role has the same name.
        user_password: of that user, who keeps the one it has if it is there already.

    Raises:
        AccountError: Milvus refuses. The message has no password in it.
    """
    try:
        with closing(_as_root(uri, ca, root_password)) as client:
            if user not in client.list_users():
                client.create_user(user, user_password, timeout=_SECONDS)
            if user not in client.list_roles():
                client.create_role(user, timeout=_SECONDS)
            for kind, privileges in PRIVILEGES.items():
                for privilege in privileges:
                    client.grant_privilege(user, kind, privilege, "*", timeout=_SECONDS)
            client.grant_role(user, user, timeout=_SECONDS)
    except MilvusException as error:
        raise AccountError(f"Milvus refuses: {error.message}") from error


def _as_root(uri: str, ca: Path | None, password: str) -> MilvusClient:
    try:
        return _connected(uri, ca, password)
    except MilvusException:
        with closing(_connected(uri, ca, ROOT_AT_FIRST)) as client:
            client.update_password(ROOT, ROOT_AT_FIRST, password, timeout=_SECONDS)
        return _connected(uri, ca, password)


def _connected(uri: str, ca: Path | None, password: str) -> MilvusClient:
    client = MilvusClient(uri, token=f"{ROOT}:{password}", timeout=_SECONDS, dedicated=True, **authority(ca))
    try:
        client.list_users()  # a connection is made without a look at who it is
    except MilvusException:
        client.close()
        raise
    return client


def main() -> None:
    """Do as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m worker.adapters.milvus.accounts", description=admit.__doc__)
    parser.add_argument("--user", default="lookalike")
    parser.add_argument("--user-password-file", type=Path, required=True)
    parser.add_argument("--root-password-file", type=Path, required=True)
    given = parser.parse_args()
    ca = os.environ.get("LOOKALIKE_MILVUS_CA")
    try:
        admit(
            os.environ["LOOKALIKE_MILVUS_URI"],
            Path(ca) if ca else None,
            root_password=given.root_password_file.read_text().rstrip("\r\n"),
            user=given.user,
            user_password=given.user_password_file.read_text().rstrip("\r\n"),
        )
    except AccountError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
