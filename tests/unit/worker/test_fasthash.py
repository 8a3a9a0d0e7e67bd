"""The fast way gives the reference's vector to the bit, and leaves to Pillow whatever is in doubt."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import islice
from typing import Any, Final, Literal

import numpy as np
import pytest
import simplejpeg
import structlog
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.corpus import corpus, encode, photos
from tests.fuzz import PIXELS, is_fast, jpegs, outcome
from tests.kernel import agrees, pictures, sizes
from worker.core import fasthash, hashing
from worker.core.errors import NotAnImage, TooLarge
from worker.core.hashing import create_reference_vector, create_vector
from worker.core.pictures import MAX_PIXELS, limit_pixels
from worker.runtime import Runtime
from worker.settings import WorkerSettings

_fasthash = pytest.importorskip("worker.core._fasthash", reason="there was no compiler to build it")

ODD: Final = Image.fromarray(np.random.default_rng(3).integers(0, 256, (45, 61, 3), dtype=np.uint8))
SOF: Final = b"\xff\xc0\x00\x11"


@pytest.fixture
def no_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """To take the fast way is an error."""

    def thumbnail(*_: object) -> bytes:
        raise AssertionError("the fast way was taken")

    monkeypatch.setattr(fasthash, "thumbnail", thumbnail)


def test_the_fast_way_proves_itself() -> None:
    """It agrees with Pillow on every canary, so it is on."""
    assert hashing.fast_path_fault() is None
    assert all(is_fast(body) for _, body in hashing.canaries())


def test_the_corpus_tries_the_fast_way() -> None:
    """Most JPEGs of the corpus, whose vectors are the reference's (see test_hashing.py), go the fast way."""
    assert sum(is_fast(body) for body in corpus().values()) >= 70


def test_the_kernel_shrinks_as_pillow_does() -> None:
    """Pictures of all small sizes, the extremes and any, grey and colour, with the loops for each processor."""
    random = np.random.default_rng(5)
    chosen = [size for number, size in enumerate(sizes(random)) if number % 3 == 0 or max(size) > 41]
    assert [size for size in chosen for pixels in pictures(random, *size) if not agrees(_fasthash, pixels)] == []


@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    quality=st.integers(1, 100),
    subsampling=st.integers(0, 2),
    progressive=st.booleans(),
    mode=st.sampled_from(["RGB", "RGB", "L"]),
    seed=st.integers(0, 2**32),
)
def test_any_whole_jpeg_goes_the_fast_way(
    size: tuple[int, int], quality: int, subsampling: int, progressive: bool, mode: str, seed: int
) -> None:
    """Whatever its size, quality, sampling and order, its vector is the reference's."""
    noise = np.random.default_rng(seed).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize(size).convert(mode)
    body = encode(image, "JPEG", quality=quality, subsampling=subsampling, progressive=progressive)
    assert is_fast(body)
    assert create_vector(body) == create_reference_vector(body)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_broken_jpegs_end_the_same_either_way() -> None:
    """Cut, changed or with something in between: the same vector, or the same refusal."""
    limit_pixels(PIXELS)
    try:
        bodies = list(islice(jpegs(seed=2011), 400))
        expected = [outcome(create_reference_vector, body) for body in bodies]
        assert [outcome(create_vector, body) for body in bodies] == expected
    finally:
        limit_pixels(MAX_PIXELS)
    assert sum(map(is_fast, bodies)) >= 100
    assert 100 <= expected.count(NotAnImage) <= 200


def _with_sampling(sampling: str) -> bytes:
    return bytes(simplejpeg.encode_jpeg(np.array(ODD), colorsubsampling=sampling))


@pytest.mark.parametrize(
    "body",
    [
        encode(ODD, "PNG"),
        encode(ODD.convert("CMYK"), "JPEG"),
        _with_sampling("440"),
        _with_sampling("411"),
        encode(ODD, "JPEG").replace(SOF + b"\x08", SOF + b"\x0c"),
        encode(ODD, "JPEG").replace(SOF, b"\xff\xc9" + SOF[2:]),
        encode(ODD, "JPEG").replace(SOF, b"\xff\xd0" + SOF),
        encode(ODD, "JPEG").replace(SOF, SOF[:2] + b"\x00\x00" + SOF),
        encode(ODD, "JPEG")[:100],
        b"\xff\xd8",
    ],
    ids=["PNG", "CMYK", "4:4:0", "4:1:1", "12 bits", "arithmetic", "marker", "length", "half a header", "no header"],
)
def test_what_is_not_plain_is_left_to_pillow(body: bytes, no_fast_way: None) -> None:  # noqa: ARG001
    """The fast way does not look further than at its header."""
    assert fasthash.plain_frame(body) is None
    assert outcome(create_vector, body) == outcome(create_reference_vector, body)


def test_a_header_with_more_than_tables_is_shown_to_pillow() -> None:
    """For Pillow reads EXIF, ICC profiles and others, and refuses some; what is bare it need not see."""
    bare = fasthash.plain_frame(encode(ODD, "JPEG"))
    commented = fasthash.plain_frame(encode(ODD, "JPEG", comment=b"taken at noon"))
    assert bare == (61, 45, 3, True)
    assert commented == (61, 45, 3, False)


def test_a_cut_jpeg_is_not_whole() -> None:
    """As much as a warning of libjpeg's, and Pillow decides."""
    body = encode(ODD, "JPEG")
    frame = fasthash.plain_frame(body[:-2])
    assert frame is not None
    assert fasthash.thumbnail(body, frame) is not None
    assert fasthash.thumbnail(body[:-2], frame) is None


@pytest.mark.parametrize("options", [{}, {"comment": b"not bare"}], ids=["bare", "shown to Pillow"])
def test_a_bomb_is_refused_before_a_decoder_runs(options: dict[str, Any], no_fast_way: None) -> None:  # noqa: ARG001
    """The dimensions in the header decide."""
    body = encode(ODD, "JPEG", **options)
    huge = body.replace(SOF + b"\x08\x00\x2d\x00\x3d", SOF + b"\x08\xff\xff\xff\xff")
    assert huge != body
    with pytest.raises(TooLarge):
        create_vector(huge)


def test_threads_do_not_share_what_they_decode_into() -> None:
    """Sixteen threads at once give what one gives."""
    photo = Image.open(BytesIO(photos()["china.jpg"]))
    bodies = [encode(photo.resize((50 + 7 * number, 400 - 9 * number)), "JPEG") for number in range(40)] * 5
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(create_vector, bodies)) == [create_reference_vector(body) for body in bodies]


def test_a_file_that_cannot_seek_is_read() -> None:
    """As it was from a pipe."""

    class Pipe(BytesIO):
        def seek(self, *_: object) -> int:
            raise AttributeError

    body = encode(ODD, "JPEG")
    assert create_vector(Pipe(body)) == create_vector(BytesIO(body)) == create_vector(body)


@pytest.mark.parametrize(
    ("thumbnail", "why"),
    [(lambda *_: bytes(64), "differs from Pillow: 4:4:4"), (lambda *_: None, "differs"), (lambda: b"", "TypeError")],
    ids=["wrong", "not taken", "an error"],
)
def test_a_fast_way_that_differs_is_not_taken(
    thumbnail: Callable[..., bytes | None], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is wrong with it, Pillow serves, and it is said what was wrong."""
    monkeypatch.setattr(fasthash, "thumbnail", thumbnail)
    fault = hashing.fast_path_fault.__wrapped__()
    assert fault is not None
    assert why in fault
    monkeypatch.setattr(hashing, "fast_path_fault", lambda: fault)
    assert create_vector(encode(ODD, "JPEG")) == create_reference_vector(encode(ODD, "JPEG"))


def test_without_a_compiler_pillow_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is the reason."""
    monkeypatch.setattr(fasthash, "MISSING", "No module named 'worker.core._fasthash'")
    assert hashing.fast_path_fault.__wrapped__() == "No module named 'worker.core._fasthash'"


@pytest.mark.parametrize(
    ("wanted", "said"), [("auto", [{"event": "fast_hash_off", "reason": "why", "log_level": "warning"}]), ("off", [])]
)
def test_a_worker_says_once_that_the_fast_way_is_off(
    wanted: Literal["auto", "off"], said: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And why; unless it was told not to take it."""
    monkeypatch.setattr(hashing, "fast_path_fault", lambda: "why")
    settings = WorkerSettings(
        broker_url="redis://localhost/0",
        milvus_uri="http://localhost:19530",
        oss_endpoint="localhost",
        oss_bucket="pictures",
        oss_region="cn-hangzhou",
        fast_hash=wanted,
    )
    with structlog.testing.capture_logs() as logs:
        runtime = Runtime(settings, NotImplemented, NotImplemented)
        vectors = {runtime.decoders(encode(ODD, "JPEG")).hashes[0].vector for _ in range(3)}
    assert logs == said
    assert vectors == {create_reference_vector(encode(ODD, "JPEG"))}


@pytest.mark.parametrize("size", [0, -1, 65536, 2**40])
def test_a_side_that_no_jpeg_has_is_refused(size: int) -> None:
    """The kernel takes 1 to 65,535 pixels."""
    with pytest.raises(ValueError, match="a side has 1 to 65535 pixels"):
        _fasthash.axis(size)


def test_the_kernel_reads_no_further_than_it_may() -> None:
    """Too few pixels, other channels and what is no axis are refused; more pixels than needed are not."""
    nine, ten = _fasthash.axis(9), _fasthash.axis(10)
    assert _fasthash.thumbnail(bytes(270), 3, nine, ten) == _fasthash.thumbnail(bytes(99), 1, nine, ten) == bytes(64)
    for size, channels in ((269, 3), (89, 1), (0, 3)):
        with pytest.raises(ValueError, match="are no picture of 9x10 pixels"):
            _fasthash.thumbnail(bytes(size), channels, nine, ten)
    for channels in (-1, 0, 2, 4):
        with pytest.raises(ValueError, match="a pixel has 1 or 3 channels"):
            _fasthash.thumbnail(bytes(999), channels, nine, ten)
    with pytest.raises(ValueError, match="PyCapsule_GetPointer"):
        _fasthash.thumbnail(bytes(270), 3, nine, None)
