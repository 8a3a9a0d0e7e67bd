"""Vendors' errors become ours."""

import pytest
from kombu.exceptions import OperationalError
from redis.exceptions import ReadOnlyError

from contract import ServiceUnavailable
from producer.errors import vendor_errors
from tests.unit.raising import fail_in


@pytest.mark.parametrize("error", [OperationalError("away"), ReadOnlyError("replica"), ConnectionResetError()])
def test_what_vendors_raise_is_unavailability(error: Exception) -> None:
    """The message says what was being done."""
    with pytest.raises(ServiceUnavailable, match=f"^publishing: {type(error).__name__}"), vendor_errors("publishing"):
        raise error


def test_a_channel_that_kombu_closed_is_unavailability() -> None:
    """It shows as an AttributeError in there."""
    with pytest.raises(ServiceUnavailable, match="publishing: the connection was closed"), vendor_errors("publishing"):
        fail_in("kombu.transport.redis")


def test_an_attribute_error_of_ours_is_a_bug() -> None:
    """It is not hidden."""
    with pytest.raises(AttributeError), vendor_errors("publishing"):
        fail_in("producer.publisher")
