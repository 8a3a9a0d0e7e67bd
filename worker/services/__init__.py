"""What the worker does, in terms of the ports: ingest, search, removal. No vendor, no Celery."""
