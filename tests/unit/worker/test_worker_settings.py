"""A worker that is not configured says which variable, and never its value."""

import pytest

from producer.settings import SettingsError
from worker.settings import WorkerSettings

REQUIRED = {
    "LOOKALIKE_BROKER_URL": "redis://localhost/0",
    "LOOKALIKE_MILVUS_URI": "http://localhost:19530",
    "LOOKALIKE_OSS_ENDPOINT": "https://oss-cn-hangzhou.aliyuncs.com",
    "LOOKALIKE_OSS_BUCKET": "pictures",
    "LOOKALIKE_OSS_REGION": "cn-hangzhou",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is required."""
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)


def test_what_is_required_is_enough() -> None:
    """Everything else has a default that is right for most."""
    settings = WorkerSettings.from_env()
    assert (settings.collection, settings.hash, settings.index_type) == ("images", ("ahash",), "BIN_FLAT")


@pytest.mark.parametrize("name", REQUIRED)
def test_each_missing_variable_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no other."""
    monkeypatch.delenv(name)
    with pytest.raises(SettingsError) as raised:
        WorkerSettings.from_env()
    assert name in str(raised.value)
    assert not any(other in str(raised.value) for other in REQUIRED if other != name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOOKALIKE_MILVUS_URI", "secret-host:19530"),
        ("LOOKALIKE_HASH", "md5"),
        ("LOOKALIKE_OSS_BUCKET", "No_Bucket"),
        ("LOOKALIKE_FUSE_DEAD_SHARE", "1.5"),
        ("LOOKALIKE_FUSE_PROBE_SECONDS", "60"),
        ("LOOKALIKE_COLLECTION", "no collection"),
        ("LOOKALIKE_INDEX_TYPE", "IVF_FLAT"),
        ("LOOKALIKE_PARTITIONS", "0"),
        ("LOOKALIKE_MAX_IMAGE_BYTES", "lots"),
        ("LOOKALIKE_OBJECT_SECONDS", "-1"),
        ("LOOKALIKE_BATCH_SECONDS", "250"),
        ("LOOKALIKE_RETRY_CAP_SECONDS", "150"),
    ],
)
def test_a_wrong_value_is_named_and_not_shown(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what is wanted; the value may be a secret put into the wrong variable."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name) as raised:
        WorkerSettings.from_env()
    assert f"'{value}'" not in str(raised.value)


def test_a_token_is_not_in_the_representation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings may be logged."""
    monkeypatch.setenv("LOOKALIKE_MILVUS_TOKEN", "root:hunter2")
    monkeypatch.setenv("LOOKALIKE_BROKER_URL", "redis://:hunter2@localhost/0")
    assert "hunter2" not in repr(WorkerSettings.from_env())
