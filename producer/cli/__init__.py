"""The program `lookalike`.

Its modules import what is slow (Celery, redis-py, tables) only inside the command that needs it.
"""

from producer.cli.program import main, program

__all__ = ["main", "program"]
