"""What the listener counts, for Prometheus. No label holds anything that a sender chose."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from producer.oss_events import Delivery


class Counting:
    """The counters of one listener, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "listener_requests",
            "Requests, by path and status.",
            ["path", "status"],
            namespace="lookalike",
            registry=self.registry,
        )
        self._seconds = Histogram(
            "listener_request_seconds",
            "How long requests took to be answered.",
            namespace="lookalike",
            registry=self.registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
        )
        self._events = Counter(
            "listener_events",
            "Events in deliveries that were answered, by form and what became of them.",
            ["form", "outcome"],
            namespace="lookalike",
            registry=self.registry,
        )

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.observe(seconds)

    def delivered(self, delivery: Delivery) -> None:
        """Count the events of a delivery."""
        for outcome, number in (
            ("accepted", len(delivery.events)),
            ("ignored", len(delivery.ignored)),
            ("malformed", len(delivery.malformed)),
        ):
            self._events.labels(delivery.form.value, outcome).inc(number)

    def exposition(self) -> bytes:
        """All of it in the text format of Prometheus."""
        return generate_latest(self.registry)
