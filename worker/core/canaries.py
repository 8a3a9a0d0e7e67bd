"""Pictures that tell whether a hash is what it was: made in code, and hashed as uploads are."""

from collections.abc import Iterator, Mapping
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from io import BytesIO
from typing import Final

import numpy as np
from PIL import Image, features
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from contract import Profile
from worker.core import hashing
from worker.core.fingerprinting import fingerprint

PREPROCESSING: Final = 1
"""The version of our own steps before the hash: what is turned, laid over white, scaled or reduced, and how."""

_DIGEST_BYTES: Final = 4
_PDQ: Final = "pdq"


def canaries() -> Iterator[tuple[str, bytes]]:
    """JPEGs of all sizes and kinds, and PNGs of what only the upright forms tell apart, by name."""
    yield from hashing.canaries()
    photo = _scene(160, 120)
    yield "scene", _png(photo)
    yield "palette", _png(photo.quantize(32))
    yield "bilevel", _png(photo.convert("1"))
    yield "alpha", _png(_with_alpha(photo))
    yield "grey alpha", _png(_with_alpha(photo).convert("LA"))
    yield "16 bits", _png(Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257))
    for orientation in (3, 6):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield f"orientation {orientation}", _jpeg(photo, exif=exif)
    yield "cmyk", _jpeg(photo.convert("CMYK"))


@cache
def canary_digests(profile: Profile) -> Mapping[str, str]:
    """A digest of the hash of each canary: the first 32 bits of BLAKE2b (RFC 7693) of vector and quality, as hex."""
    digests = {}
    for name, body in canaries():
        # Not `Image.open`, which would hold the canaries to the limit of pixels.
        opened = (PngImageFile if body.startswith(b"\x89PNG") else JpegImageFile)(BytesIO(body))
        with opened as image:
            (hashed,) = fingerprint(image, [profile], body).hashes
        told = hashed.vector + bytes([hashed.quality])
        digests[name] = blake2b(told, digest_size=_DIGEST_BYTES).hexdigest()
    return digests


@cache
def versions(profile: Profile) -> Mapping[str, str]:
    """The versions of the libraries that take part in a profile's hashes, by name."""
    found = {name: version(name) for name in ("pillow", "numpy")}
    if profile.algorithm != _PDQ:
        found |= {name: version(name) for name in ("imagehash", "scipy")}
    return found | {"libjpeg-turbo": str(features.version("libjpeg_turbo"))}


def _scene(width: int, height: int) -> Image.Image:
    """A sky over ground with a sun and a tree: smooth and rough parts, and no symmetry."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    sky = np.stack([90 + 0.4 * y, 140 + 0.3 * y, 220 - 0.2 * y], axis=-1)
    ground = np.stack([60 + 30 * np.sin(x / 5), 110 + 20 * np.cos(y / 3 + x / 9), 40 + 0 * x], axis=-1)
    scene = np.where((y > 0.6 * height + 8 * np.sin(x / 20))[..., None], ground, sky)
    scene[(x - 0.75 * width) ** 2 + (y - 0.25 * height) ** 2 < (0.1 * height) ** 2] = (250, 240, 180)
    scene[(abs(x - 0.2 * width) < 0.03 * width) & (y > 0.3 * height)] = (70, 50, 30)
    return Image.fromarray(np.clip(scene, 0, 255).astype(np.uint8))


def _with_alpha(image: Image.Image) -> Image.Image:
    clear = image.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(image.size))
    return clear


def _png(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _jpeg(image: Image.Image, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, "JPEG", quality=90, **options)
    return file.getvalue()
