"""Options that several commands share."""

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from contract import InvalidMessage, key_template

STDIN: Final = Path("-")


def readable_file(path: Path | None) -> Path | None:
    """Check a file that is given as an option; - is the standard input."""
    if path is not None and path != STDIN and (path.is_dir() or not os.access(path, os.R_OK)):
        raise typer.BadParameter(f"{path} is not a file that can be read.")
    return path


def valid_template(text: str | None) -> str | None:
    """Check a key template that is given as an option."""
    if text is not None:
        try:
            key_template(text)
        except InvalidMessage as error:
            raise typer.BadParameter(str(error)) from None
    return text


CompanyId = Annotated[
    int | None, typer.Option("--company-id", "--company", metavar="N", help="The tenant that the pictures belong to.")
]
KeyTemplateOption = Annotated[
    str | None,
    typer.Option(
        "--key-template",
        metavar="TEMPLATE",
        callback=valid_template,
        help="Where in a key the ids stand: uploads/{company_id}/{meta_id}/{_}.jpg. "
        "Else the workers' LOOKALIKE_KEY_TEMPLATE.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Timeout = Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=0, help="How long to wait for a worker.")]
