"""What can be said back to a caller.

Each takes one message, so that it survives Celery's result backend: an application that has `contract` installed gets
the same class raised, any other gets an exception of the same name.
"""


class LookalikeError(Exception):
    """The root of all errors that Lookalike raises on purpose."""


class InvalidMessage(LookalikeError, ValueError):
    """The arguments do not fit the contract. The message names the field. Sending them again will not help."""


class QueryNotFound(LookalikeError, LookupError):
    """The object or the row that a query names does not exist."""


class QueryRejected(LookalikeError, ValueError):
    """The query's picture cannot be hashed: it is not an image, or it is larger than the limits admit."""


class Overloaded(LookalikeError):
    """More events are outstanding than is allowed. Nothing was accepted; sending the same again later will help."""


class ServiceUnavailable(LookalikeError):
    """OSS, Milvus, Redis or a worker did not answer in time. Sending the same again later may help."""


class ServiceMisconfigured(ServiceUnavailable):
    """OSS or Milvus refuses the workers: a wrong secret, a missing bucket. Somebody has to mend it first."""
