"""Errors that come from where a test says."""


def fail_in(module: str) -> None:
    """Raise an AttributeError in a module of that name, as kombu does over a channel that it closed itself."""
    exec("None.client", {"__name__": module})  # noqa: S102 - the fault cannot be had from kombu at will
