"""The pages in a real browser: headless Chromium, over pictures that went through the real queue."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright
from typer.testing import CliRunner

from producer import Client
from producer.cli.program import program
from producer.pages import render_duplicates
from tests.corpus import photos
from tests.integration.processes import settled
from worker.adapters.oss import OssObjectStore

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
COMPANY = 31
HOSTILE = "pages/<img src=x onerror=alert(1)>'\"&.jpg"
# Debian's Chromium as root, and without its own calls home.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")


class Watched:
    """A page that is open, and what it asked for and complained of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url.partition(":")[0]))

    def open(self, file: Path) -> None:
        """Open a file."""
        self.page.goto(file.as_uri())

    def has(self, expression: str) -> Any:
        """What JavaScript says."""
        return self.page.evaluate(expression)


@pytest.fixture
def browser() -> Iterator[Watched]:
    """A telephone's screen."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield Watched(chromium.new_page(viewport={"width": 360, "height": 740}))
        chromium.close()


@pytest.fixture
def indexed(client: Client, bucket: OssObjectStore) -> list[str]:
    """Photos of a company, one of them under a key that would be markup."""
    keys = [HOSTILE, *(f"pages/{name}" for name in ("china.jpg", "coffee.png", "astronaut.png", "rocket.jpg"))]
    for key in keys:
        bucket.put(key, photos().get(key.removeprefix("pages/"), photos()["flower.jpg"]))
    client.enqueue_many({"object_key": key, "meta_id": n, "company_id": COMPANY} for n, key in enumerate(keys))
    settled(client)
    return keys


def works_on_a_telephone(browser: Watched, pictures: int) -> None:
    """All pictures are decoded, nothing is wider than the screen, nothing was asked of anybody, nobody complained."""
    for picture in browser.page.locator("img").all():
        picture.scroll_into_view_if_needed()
    browser.page.wait_for_function("[...document.images].every((image) => image.complete)")
    assert browser.has("[...document.images].filter((image) => image.naturalWidth > 0).length") == pictures
    assert browser.has("document.documentElement.scrollWidth") == 360
    assert browser.complaints == []
    assert set(browser.requests) <= {"file", "data"}


def test_a_search_is_shown(
    indexed: list[str],
    browser: Watched,
    worker_env: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """`lookalike search --html`: pictures, keyboard, and a key that is text."""
    for name, value in worker_env.items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "found.html"
    asked = ["search", "--key", HOSTILE, "--company", str(COMPANY), "--fresh", "--html", str(file)]
    result = CliRunner().invoke(program, asked)
    assert result.exit_code == 0, result.output
    browser.open(file)
    works_on_a_telephone(browser, len(indexed) + 1)
    assert HOSTILE in browser.page.locator("button.card").first.inner_text()
    keyboard = browser.page.keyboard
    keyboard.press("j")
    keyboard.press("ArrowDown")
    assert browser.has("[...document.querySelectorAll('button.card')].indexOf(document.activeElement)") == 1
    keyboard.press("k")
    keyboard.press("Enter")
    assert browser.has("document.querySelector('dialog').open")
    assert browser.has("document.querySelector('dialog img').naturalWidth") > 0
    keyboard.press("Escape")
    assert not browser.has("document.querySelector('dialog').open")
    assert browser.has("document.activeElement.matches('button.card')")
    keyboard.press("?")
    assert "Arrows" in browser.page.locator("dialog").inner_text()
    keyboard.press("Escape")
    browser.page.set_viewport_size({"width": 900, "height": 640})
    browser.page.evaluate("window.scrollTo(0, 0)")
    screenshot = browser.page.screenshot(path=tmp_path / "found.png")
    assert len(screenshot) > 20_000
    if kept := request.config.getoption("--screenshots"):
        Path(kept).mkdir(parents=True, exist_ok=True)
        (Path(kept) / "search-page.png").write_bytes(screenshot)


def test_the_command_for_duplicates_writes_a_page(
    indexed: list[str],
    client: Client,
    browser: Watched,
    worker_env: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """`lookalike duplicates --html`, with --json beside."""
    client.enqueue(indexed[1], meta_id=90, company_id=COMPANY)
    settled(client)
    for name, value in worker_env.items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "duplicates.html"
    asked = ["duplicates", "--company", str(COMPANY), "--max-distance", "2", "--restart", "--json", "--html", str(file)]
    result = CliRunner().invoke(program, asked)
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    assert {member["meta_id"] for member in json.loads(line)["members"]} == {1, 90}
    browser.open(file)
    works_on_a_telephone(browser, 2)
    client.delete([{"meta_id": 90, "company_id": COMPANY}])


def test_duplicates_are_shown(indexed: list[str], client: Client, browser: Watched, tmp_path: Path) -> None:
    """Groups fold, and what is marked becomes the command that keeps it."""
    members = [{"id": n, "meta_id": n, "object_key": key, "distance": 2 * n} for n, key in enumerate(indexed)]
    thumbnails = list(client.thumbnails({"meta_id": n, "company_id": COMPANY} for n in range(len(indexed))))
    assert [why for _, why in thumbnails] == [None] * len(indexed)
    group = {"representative": 5, "size": 9, "members": members}
    file = tmp_path / "duplicates.html"
    pieces = render_duplicates([(group, thumbnails)], company_id=COMPANY, profile="ahash", max_distance=4, shown=5)
    file.write_text("".join(pieces))
    browser.open(file)
    works_on_a_telephone(browser, len(indexed))
    assert "and 4 more" in browser.page.locator("details").inner_text()
    boxes = browser.page.locator("input[type=checkbox]")
    for n in (1, 3):
        boxes.nth(n).check()
    assert browser.page.locator("#command").inner_text() == (
        f"lookalike duplicates --company {COMPANY} --not-duplicate 1,3"
    )
    browser.page.locator("summary").click()
    browser.page.keyboard.press("j")
    assert not browser.has("document.activeElement.matches('button.card')")
