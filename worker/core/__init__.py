"""Values and pure functions: hashing, outcomes, the schema. No I/O, no Celery, no vendor."""
