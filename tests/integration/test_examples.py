"""The examples of docs/examples, run as applications: a picture that was uploaded is found, and errors are answers."""

import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import pytest
from starlette.testclient import TestClient
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from producer import Client
from tests.corpus import noise
from tests.integration.conftest import client_settings
from tests.integration.processes import ADDRESSES, on_own_databases, settled
from worker.adapters.oss import OssObjectStore

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
NAMES = ("fastapi", "flask", "django")
KEYS = {"key-of-71": 71, "key-of-72": 72}


class Site(Protocol):
    """An example, by its framework's own test client."""

    module: ModuleType
    client: Any

    def post_json(self, path: str, body: object, key: str) -> tuple[int, Any]:
        """Post JSON."""

    def post_image(self, path: str, image: bytes | None, key: str) -> tuple[int, Any]:
        """Post an image, as a browser's form does."""

    def get(self, path: str, key: str) -> tuple[int, Any]:
        """Get a page."""


class FastApiSite:
    """By Starlette's client."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.app = module.app
        self.client: Any = TestClient(module.app)

    def post_json(self, path: str, body: object, key: str) -> tuple[int, Any]:
        """Post JSON."""
        answer = self.client.post(path, json=body, headers={"X-Api-Key": key})
        return answer.status_code, self._json(answer)

    def post_image(self, path: str, image: bytes | None, key: str) -> tuple[int, Any]:
        """Post an image."""
        files = None if image is None else {"image": ("a.png", image)}
        answer = self.client.post(path, files=files, headers={"X-Api-Key": key})
        return answer.status_code, self._json(answer)

    def get(self, path: str, key: str) -> tuple[int, Any]:
        """Get a page."""
        answer = self.client.get(path, headers={"X-Api-Key": key})
        return answer.status_code, self._json(answer)

    @staticmethod
    def _json(answer: Any) -> Any:
        return answer.json() if answer.headers.get("Content-Type") == "application/json" else None


class FlaskSite:
    """By Werkzeug's client."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.client: Any = module.app.test_client()

    def post_json(self, path: str, body: object, key: str) -> tuple[int, Any]:
        """Post JSON."""
        answer = self.client.post(path, json=body, headers={"X-Api-Key": key})
        return answer.status_code, answer.get_json(silent=True)

    def post_image(self, path: str, image: bytes | None, key: str) -> tuple[int, Any]:
        """Post an image."""
        files = {} if image is None else {"image": FileStorage(BytesIO(image), "a.png")}
        # In memory: the client itself would leave a temporary file open.
        boundary, body = encode_multipart(files)
        form = f"multipart/form-data; boundary={boundary}"
        answer = self.client.post(path, data=body, content_type=form, headers={"X-Api-Key": key})
        return answer.status_code, answer.get_json(silent=True)

    def get(self, path: str, key: str) -> tuple[int, Any]:
        """Get a page."""
        answer = self.client.get(path, headers={"X-Api-Key": key})
        return answer.status_code, answer.get_json(silent=True)


class DjangoSite:
    """By Django's client."""

    def __init__(self, module: ModuleType) -> None:
        from django.test import Client as DjangoClient  # noqa: PLC0415 - needs the settings

        self.module = module
        self.client: Any = DjangoClient()

    def post_json(self, path: str, body: object, key: str) -> tuple[int, Any]:
        """Post JSON."""
        answer = self.client.post(path, json.dumps(body), content_type="application/json", headers={"X-Api-Key": key})
        return answer.status_code, self._json(answer)

    def post_image(self, path: str, image: bytes | None, key: str) -> tuple[int, Any]:
        """Post an image."""
        data = {}
        if image is not None:
            data["image"] = BytesIO(image)
            data["image"].name = "a.png"
        answer = self.client.post(path, data, headers={"X-Api-Key": key})
        return answer.status_code, self._json(answer)

    def get(self, path: str, key: str) -> tuple[int, Any]:
        """Get a page."""
        answer = self.client.get(path, headers={"X-Api-Key": key})
        return answer.status_code, self._json(answer)

    @staticmethod
    def _json(answer: Any) -> Any:
        return json.loads(answer.content) if answer.content else None


SITES: Mapping[str, Any] = {"fastapi": FastApiSite, "flask": FlaskSite, "django": DjangoSite}


def load(name: str) -> ModuleType:
    """Import an example from its file, once."""
    module = f"{name}_app"
    if module not in sys.modules:
        spec = importlib.util.spec_from_file_location(module, EXAMPLES / f"{module}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[module] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[module])
    return sys.modules[module]


@pytest.fixture(params=NAMES)
def site(
    request: pytest.FixtureRequest, client: Client, worker_env: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """One of the examples, in the environment of the stack, with workers at work."""
    assert client is not None
    for name, value in {**worker_env, "API_KEYS": json.dumps(KEYS)}.items():
        monkeypatch.setenv(name, value)
    made = SITES[request.param](load(request.param))
    if isinstance(made, FastApiSite):
        with made.client:
            yield made
    else:
        yield made


def test_an_upload_is_found_by_its_company(site: Site, bucket: OssObjectStore, client: Client) -> None:
    """By an image and by its id; the other company finds nothing."""
    meta_id = 5
    key = f"uploads/71/{meta_id}/a.png"
    bucket.put(key, noise(meta_id))
    status, _ = site.post_json("/pictures", {"object_key": key, "meta_id": meta_id}, "key-of-71")
    assert status == 202
    settled(client)
    client.search(meta_id=meta_id, company_id=71, fresh=True)
    found = {"meta_id": meta_id, "distance": 0}
    assert site.post_image("/search", noise(meta_id), "key-of-71") == (200, [found])
    assert site.get(f"/pictures/{meta_id}/similar", "key-of-71") == (200, [found])
    assert site.post_image("/search", noise(meta_id), "key-of-72") == (200, [])
    assert site.get(f"/pictures/{meta_id}/similar", "key-of-72")[0] == 404


def test_what_cannot_be_is_an_answer(site: Site) -> None:
    """Who is not known, what is not theirs, what is no image, what is too large, what does not fit."""
    good = {"object_key": "uploads/71/1/a.png", "meta_id": 1}
    assert site.post_json("/pictures", good, "wrong")[0] == 401
    assert site.post_image("/search", b"x", "wrong")[0] == 401
    assert site.get("/pictures/1/similar", "wrong")[0] == 401
    assert site.post_json("/pictures", {**good, "object_key": "uploads/72/1/a.png"}, "key-of-71")[0] == 403
    wrongs: list[object] = [{**good, "meta_id": "1x"}, {"meta_id": 1}, [], {**good, "meta_id": 2**63}]
    for wrong in wrongs:
        assert site.post_json("/pictures", wrong, "key-of-71")[0] == 422
    assert site.post_image("/search", b"no image", "key-of-71")[0] == 422
    assert site.post_image("/search", None, "key-of-71")[0] == 422
    assert site.post_image("/search", bytes(8 * 1024 * 1024 + 1), "key-of-71")[0] == 413
    assert site.post_json("/pictures", {**good, "object_key": "x" * (8 * 1024 * 1024 + 1)}, "key-of-71")[0] == 413
    assert site.get("/pictures/12345/similar", "key-of-71")[0] == 404


@contextmanager
def with_client(site: Site, client: Client) -> Iterator[None]:
    """Have an example use another client."""
    with pytest.MonkeyPatch.context() as patch:
        if isinstance(site, FastApiSite):
            patch.setitem(site.app.dependency_overrides, site.module.lookalike, lambda: client)
        else:
            patch.setattr(site.module, "lookalike", client)
        yield


def test_when_the_service_is_away_the_hook_is_called_again(
    site: Site, bucket: OssObjectStore, client: Client, worker_env: Mapping[str, str]
) -> None:
    """503, when to come again, and not a word of where it is; then the picture is indexed, however often it is told."""
    good = {"object_key": "uploads/71/6/a.png", "meta_id": 6}
    bucket.put("uploads/71/6/a.png", noise(6))
    away = {**worker_env, **dict.fromkeys(ADDRESSES, "redis://127.0.0.1:1")}
    with Client(client_settings(away)) as broken, with_client(site, broken):
        for answer in (
            site.post_json("/pictures", good, "key-of-71"),
            site.post_image("/search", noise(6), "key-of-71"),
            site.get("/pictures/6/similar", "key-of-71"),
        ):
            assert answer == (503, {"error": "try again later"})
        answer = site.client.get("/pictures/6/similar", headers={"X-Api-Key": "key-of-71"})
        assert answer.headers["Retry-After"] == "10"
    for _ in range(2):
        assert site.post_json("/pictures", good, "key-of-71")[0] == 202
    settled(client)
    (match,) = client.search(meta_id=6, company_id=71, max_distance=0, fresh=True)["matches"]
    assert (match["meta_id"], match["count"]) == (6, 1)


def test_when_there_is_too_much_to_do_the_hook_is_called_again(site: Site, worker_env: Mapping[str, str]) -> None:
    """503, and nothing is accepted."""
    limits = {"LOOKALIKE_OUTSTANDING_LOW": "1", "LOOKALIKE_OUTSTANDING_HIGH": "2", "LOOKALIKE_OUTSTANDING_MAX": "100"}
    nobody_works_here = client_settings({**on_own_databases(worker_env, 9), **limits})
    with Client(nobody_works_here) as full, with_client(site, full):
        full.enqueue_many({"object_key": f"uploads/71/{n}/a.png", "meta_id": n, "company_id": 71} for n in range(100))
        answer = site.post_json("/pictures", {"object_key": "uploads/71/7/a.png", "meta_id": 7}, "key-of-71")
        assert answer == (503, {"error": "try again later"})
        assert full.outstanding() == 100


@pytest.mark.parametrize("name", NAMES)
def test_the_page_shows_the_example(name: str) -> None:
    """As it is tested."""
    page = (EXAMPLES.parent / "integrations.md").read_text(encoding="utf-8")
    assert f"```python\n{(EXAMPLES / f'{name}_app.py').read_text(encoding='utf-8')}```" in page
