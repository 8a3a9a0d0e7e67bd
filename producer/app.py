"""The Celery application, made the same way for producers and workers."""

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

from celery import Celery

from producer.settings import ClientSettings


@cache
def _policy() -> ModuleType:
    """Load the `celeryconfig` that stands beside this package.

    By its path, because `celeryconfig` is a name that many applications have in their own folder, and theirs would be
    found first.
    """
    spec = importlib.util.spec_from_file_location(
        "lookalike_celeryconfig", Path(__file__).resolve().parent.parent / "celeryconfig.py"
    )
    if spec is None or spec.loader is None:
        raise ImportError("celeryconfig.py does not stand beside the package `producer`: install lookalike again")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def visibility_timeout() -> float:
    """Seconds after which a message that was not acknowledged is delivered again, by Celery's policy."""
    return float(_policy().broker_transport_options["visibility_timeout"])


def make_app(name: str, settings: ClientSettings) -> Celery:
    """Make a Celery application: policy from `celeryconfig`, addresses from the settings.

    Both broker addresses and the backend's class are set because Celery lets `CELERY_BROKER_URL` and
    `CELERY_RESULT_BACKEND` in the environment override `broker_url` and `result_backend` wherever those were set; ours
    are `LOOKALIKE_BROKER_URL` and `LOOKALIKE_RESULT_BACKEND_URL`, and nothing else.
    """
    app = Celery(name, set_as_current=False)
    app.config_from_object(_policy(), force=True)
    app.conf.update(
        broker_url=settings.broker_url,
        broker_read_url=settings.broker_url,
        broker_write_url=settings.broker_url,
        result_backend=settings.result_backend_url,
        # For Redis Sentinel; others take no notice.
        broker_transport_options={
            **app.conf.broker_transport_options,
            "master_name": settings.sentinel_master,
        },
        result_backend_transport_options={"master_name": settings.sentinel_master},
    )
    app.backend_cls = settings.result_backend_url
    return app
