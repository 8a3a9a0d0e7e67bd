"""Events of OSS from a file: one delivery on each line, or the whole file as one."""

from collections.abc import Iterator
from io import BytesIO
from itertools import chain
from typing import BinaryIO, Final

from contract import InvalidMessage, ObjectEvent
from producer.cli.lines import Advance, Reject, lines_of
from producer.oss_events import Delivery, parse

# What is one delivery over several lines was made by hand, or by something that prints prettily.
_MAX_WHOLE: Final = 16 * 1024 * 1024


def read_deliveries(
    file: BinaryIO, *, reject: Reject, advance: Advance, ignore: Advance, key_template: str | None = None
) -> Iterator[ObjectEvent]:
    """Read events as they are asked for.

    Args:
        file: in binary mode, in any of the forms of `producer.oss_events`.
        reject: called with the number of a line, counted from 1, what is wrong with it, and the line.
        advance: called with the bytes of each line.
        ignore: called with the number of events that concern nobody's picture.
        key_template: by which keys are read, in place of the workers' own.
    """
    for number, line, delivery in _deliveries(file, reject, advance):
        for complaint in delivery.malformed:
            reject(number, complaint, line)
        if delivery.ignored:
            ignore(len(delivery.ignored))
        for event in delivery.events:
            yield event if key_template is None else event.model_copy(update={"key_template": key_template})


def _deliveries(file: BinaryIO, reject: Reject, advance: Advance) -> Iterator[tuple[int, bytes, Delivery]]:
    first = file.readline(_MAX_WHOLE)
    if _parsed(first) is None:
        begun = first + file.read(_MAX_WHOLE)
        if (whole := _parsed(begun)) is not None:
            advance(len(begun))
            yield 1, begun, whole
            return
        first = begun
    for number, line in enumerate(chain(lines_of(BytesIO(first)), lines_of(file)), start=1):
        advance(len(line))
        if not line.strip():
            continue
        try:
            yield number, line, parse(line)
        except InvalidMessage as error:
            reject(number, str(error), line)


def _parsed(text: bytes) -> Delivery | None:
    try:
        return parse(text)
    except InvalidMessage:
        return None
