"""Celery policy: the same for every producer and worker. Addresses and secrets come from the settings, not from here.

Only plain settings may stand in this module: Celery takes every public name in it for one.
"""

import contract as _contract

# JSON only: a pickle from whoever reaches the broker would be code.
accept_content = ["json"]
task_serializer = "json"
result_serializer = "json"

# A message is acknowledged after its work is durable, so a worker that dies leaves it to another. Every task may
# therefore run twice, and is written for it. This covers a killed pool process too; attempts are counted in the
# ledger, so a batch that kills its workers does not go round for ever.
task_acks_late = True
task_reject_on_worker_lost = True
# Unacknowledged messages are redelivered after this many seconds. Every batch hands back what it has not done long
# before (see worker.settings), and no retry waits longer than half of it.
# RabbitMQ knows no such timeout: it redelivers when the worker's connection ends. There a message counts as published
# when it says that it is on disk. Each broker ignores what is the other's.
broker_transport_options = {"visibility_timeout": 300, "socket_keepalive": True, "confirm_publish": True}

# One message a thread: a message is a batch of up to 100 events, and one that waits in a busy worker could be
# worked on elsewhere.
worker_prefetch_multiplier = 1

# Where a pool can (prefork), a child that takes longer than any batch may is killed; below the visibility timeout.
task_time_limit = 270

task_routes = {name: {"queue": queue} for name, queue in _contract.QUEUES.items()}
# What is sent without a queue goes where a worker looks.
task_default_queue = _contract.INGEST_QUEUE

# `celery -A worker beat` has the ledger swept for batches that were lost, or whose worker died. A sweep that no worker
# took before the next one is of no use. Nothing is kept between runs of beat, so it needs no file, and two of them do
# no harm.
beat_schedule = {"sweep": {"task": _contract.SWEEP, "schedule": 15.0, "options": {"expires": 15.0}}}
beat_scheduler = "celery.beat:Scheduler"

# Start-up order does not matter, and a broker that goes away comes back.
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
# Threads cannot be cancelled; a task that finishes after the connection was lost runs again, which is harmless.
worker_cancel_long_running_tasks_on_connection_loss = False
# Celery would raise the prefetch count again in the threads that finish what they had before the connection was lost;
# on RabbitMQ each waits there for an answer that another thread reads, and hangs for ever.
worker_enable_prefetch_count_reduction = False
# Celery's own would end the worker where kombu fails over a connection that is gone.
worker_consumer = "worker.consumer:Consumer"

# Callers read results within seconds; an hour is for those who poll.
result_expires = 3600

# Flower and other monitors see the tasks with their states.
worker_send_task_events = True

# structlog writes the logs (producer.logs); Celery leaves the root logger and the standard streams alone.
worker_hijack_root_logger = False
worker_redirect_stdouts = False

enable_utc = True
timezone = "UTC"
