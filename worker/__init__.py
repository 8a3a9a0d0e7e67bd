"""The worker: `celery -A worker worker -Q ingest`. The Celery application is in `worker.celery`."""
