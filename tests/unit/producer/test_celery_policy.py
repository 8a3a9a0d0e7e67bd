"""Celery's policy holds what it says, and nothing else."""

from types import ModuleType

from celery.app.defaults import DEFAULTS

import celeryconfig
import contract
from producer import ClientSettings
from producer.app import make_app, visibility_timeout

SETTINGS = ClientSettings(broker_url="redis://a/0", result_backend_url="redis://b/0", ledger_url="redis://c/0")


def public_names() -> set[str]:
    """What Celery takes from the module."""
    return {name for name in vars(celeryconfig) if not name.startswith("_")}


def test_only_settings_that_celery_knows() -> None:
    """Every public name is a setting: an import or a helper would leak into the configuration."""
    assert public_names() <= set(DEFAULTS)
    assert not any(isinstance(getattr(celeryconfig, name), ModuleType) for name in public_names())


def test_json_only() -> None:
    """A pickle from whoever reaches the broker would be code."""
    assert celeryconfig.accept_content == ["json"]
    assert celeryconfig.task_serializer == celeryconfig.result_serializer == "json"


def test_every_task_has_its_queue() -> None:
    """By the names of the contract, also when a task is sent without a queue."""
    assert celeryconfig.task_routes == {name: {"queue": queue} for name, queue in contract.QUEUES.items()}


def test_an_application_has_the_policy_and_the_addresses() -> None:
    """Each address where it belongs."""
    app = make_app("policy", SETTINGS)
    assert app.conf.task_acks_late is True
    assert app.conf.broker_url == "redis://a/0"
    assert app.conf.broker_write_url == "redis://a/0"
    assert app.conf.result_backend == "redis://b/0"
    assert visibility_timeout() == app.conf.broker_transport_options["visibility_timeout"]
