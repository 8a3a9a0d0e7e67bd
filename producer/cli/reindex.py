"""`lookalike reindex`."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from producer.cli.options import AsJson, Timeout
from producer.cli.output import complain, count, print_json
from producer.cli.session import open_client
from producer.cli.settling import settle

if TYPE_CHECKING:
    from contract import ReindexResult

EXAMPLES: Final = """\b
Examples:
  LOOKALIKE_HASH=ahash,phash celery -A worker worker ...      # the workers serve a new profile
  lookalike reindex --hash phash                              # what is indexed already gets its hash, too
  lookalike reindex --hash ahash --from images_ahash          # into another LOOKALIKE_COLLECTION
"""


def reindex(
    ctx: typer.Context,
    *,
    profile: Annotated[
        str, typer.Option("--hash", metavar="PROFILE", help="The profile to fill: one of the workers' LOOKALIKE_HASH.")
    ],
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="COLLECTION",
            help="The collection that says which pictures there are; else that of the workers' first other profile.",
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until no event is outstanding any more, of whoever.")
    ] = True,
    timeout: Timeout = 60.0,
    as_json: AsJson = False,
) -> None:
    """Hash by another profile what is indexed already, while serving goes on.

    Each picture that the profile lacks is enqueued, and hashed by the workers as uploads are. Interrupted, the same
    command goes on where it was; run again after its end, it says what is lacking still.
    """
    from producer.cli.progress import show_progress  # noqa: PLC0415 - rich is slow to import

    with open_client(ctx) as client, show_progress(None, "reading") as bar:

        def show(result: "ReindexResult") -> None:
            bar.reached(result["read"], result["total"])
            bar.enqueued(result["enqueued"])

        try:
            result = client.reindex(profile, source=source, progress=show, waiting=bar.waiting, timeout=timeout)
            if wait:
                settle(client, bar)
        except KeyboardInterrupt:
            complain("interrupted; the same command goes on from here, and what is enqueued is hashed")
            raise
    if as_json:
        print_json(result)
        return
    typer.echo(
        f"{count(result['read'], 'picture')} of {result['source']}: {result['present']:,} had a hash by "
        f"{result['hash']}, {count(result['enqueued'], 'event')} enqueued"
    )
