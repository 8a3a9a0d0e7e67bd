"""What can go wrong outside, in the three classes that decide what happens next.

Adapters turn their vendor's errors into these. Each takes one message.
"""

from typing import ClassVar

from contract import LookalikeError, Reason


class Busy(LookalikeError):
    """Another worker is at this batch, whose message was delivered twice, or at this job."""


class Transient(LookalikeError):
    """It may work later: a time-out, a reset, a 5xx, a server that is starting."""


class ObjectMissing(Transient):
    """The object is not there. The upload may still be under way, so it is looked for again before it is given up."""


class Misconfigured(LookalikeError):
    """No event can succeed until somebody mends the configuration: a wrong secret, a missing bucket, another schema."""


class CollectionMissing(Misconfigured):
    """The collection is not there yet: nothing was ever written to it."""


class FuseBlown(Misconfigured):
    """This worker's fuse is blown: the event is handed back, and nothing was tried."""


class RowsRejected(LookalikeError):
    """Milvus refuses these rows for what is in them. None may be to blame but one: others may be accepted."""


class Permanent(LookalikeError):
    """This event can never succeed; others can."""

    reason: ClassVar[Reason]


class Unmapped(Permanent):
    """Nothing says whose picture the object is."""

    reason = Reason.UNMAPPED


class NotReadable(Permanent):
    """OSS refuses this one object: it is archived, or its name is not allowed."""

    reason = Reason.NOT_READABLE


class NotAnImage(Permanent):
    """The bytes are not a whole image of a format that is accepted."""

    reason = Reason.NOT_AN_IMAGE


class TooLarge(Permanent):
    """The object has more bytes, or the image more pixels, than the limits admit."""

    reason = Reason.TOO_LARGE


class IdCollision(Permanent):
    """Another picture has the same primary key, one chance in 2^63 for each pair of pictures. It is not overwritten."""

    reason = Reason.ID_COLLISION


class Rejected(Permanent):
    """Milvus refuses this one row, whatever it is written with."""

    reason = Reason.REJECTED
