"""A publisher without a broker, for the services that publish what the ledger holds."""

from dataclasses import dataclass, field

from contract import ServiceUnavailable
from producer.ledger import Batch


@dataclass
class Outbox:
    """Keeps what would be published, with its countdown in seconds; while it is `down` it fails as a broker does."""

    sent: list[tuple[Batch, float]] = field(default_factory=list)
    down: bool = False

    def publish(self, batch: Batch, *, countdown: float = 0) -> None:
        """Keep it.

        Raises:
            ServiceUnavailable: it is down.
        """
        if self.down:
            raise ServiceUnavailable("the broker is away")
        self.sent.append((batch, countdown))
