"""The groups of a tenant's pictures that look alike, as a client asks for them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from contract.duplicates import DuplicatesResult, Group

Call = Callable[[Mapping[str, Any]], DuplicatesResult]


def read_groups(
    call: Call, arguments: Mapping[str, Any], *, progress: Callable[[DuplicatesResult], None] | None = None
) -> Iterator[Group]:
    """Call until the job is done, then read its pages, one at a time.

    Args:
        call: asks a worker for the next step or page.
        arguments: of the first call, without a page.
        progress: told each answer.

    Yields:
        Whole groups. One of which less than two members are left, the others being deleted or replaced meanwhile, is
        left out.
    """
    whole: Group | None = None
    for answer in _answers(call, dict(arguments)):
        if progress is not None:
            progress(answer)
        for group in answer["page"]:
            if whole is not None and whole["representative"] == group["representative"]:
                whole["members"] += group["members"]
                continue
            yield from _alike(whole)
            whole = group
    yield from _alike(whole)


def _answers(call: Call, arguments: dict[str, Any]) -> Iterator[DuplicatesResult]:
    while True:
        answer = call(arguments)
        yield answer
        if answer["state"] == "done" and answer["next"] is None:
            return
        arguments |= {"page": answer["next"], "restart": False}


def _alike(group: Group | None) -> Iterator[Group]:
    if group is not None and len(group["members"]) > 1:
        yield group
