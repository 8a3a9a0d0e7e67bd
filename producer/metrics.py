"""The status as metrics, in the text format of Prometheus."""

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from producer.status import Status


def exposition(status: Status) -> str:
    """Write a status as gauges, for whatever reads that format: node_exporter, say."""
    registry = CollectorRegistry()

    def gauge(name: str, means: str, *labels: str) -> Gauge:
        return Gauge(name, means, labels, namespace="lookalike", registry=registry)

    gauge("outstanding_events", "Events that were accepted and have not ended.").set(status.outstanding)
    gauge("oldest_event_seconds", "Age of the oldest outstanding event; 0 where there is none.").set(
        status.oldest_seconds
    )
    gauge("dead_letters", "Events that were given up.").set(status.dead)
    gauge("workers", "Workers that answered a ping.").set(status.workers)
    messages = gauge("queue_messages", "Messages that wait in a queue.", "queue")
    for queue, length in status.queues.items():
        messages.labels(queue).set(length)
    rows = gauge("collection_rows", "Rows of a collection.", "collection")
    for collection, number in status.collections.items():
        rows.labels(collection).set(number)
    blown = gauge("fuse_blown", "1 for each worker that has stopped itself, by cause.", "worker", "cause")
    for fuse in status.fuses:
        blown.labels(fuse.worker, fuse.cause).set(1)
    return generate_latest(registry).decode()
