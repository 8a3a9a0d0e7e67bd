"""What becomes of pictures on their way through the world: copies that an evaluation looks for.

Each transform takes a picture in RGB or L and gives a file. The same picture and seed give the same bytes with the same
versions of Pillow and its libraries. The families are those of "imageprocessing" copies in Douze et al., "The 2021
Image Similarity Dataset and Challenge" (arXiv:2106.09672), less those that only a model finds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from math import log
from random import Random
from types import MappingProxyType
from typing import Final

from PIL import ExifTags, Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

# What a copy is saved with where its quality is not the point: Pillow's default is 75, cameras write 90 and more.
_QUALITY: Final = 90
_QUARTER_TURN: Final = 6  # the value of the EXIF orientation: shown turned by 90 degrees clockwise
_TEXT: Final = "© example.com"
_BAR: Final = (242, 242, 242)
_INK: Final = (60, 60, 60)
_BORDERS: Final = ((2, "white"), (5, "black"))


@dataclass(frozen=True, slots=True)
class Transform:
    """A way in which a picture is changed.

    Attributes:
        family: what is done.
        level: how much of it, for a person; empty where there is no more or less.
        apply: from a picture, and a source of randomness, to the bytes of a file.
    """

    family: str
    level: str
    apply: Callable[[Image.Image, Random], bytes]

    @property
    def name(self) -> str:
        """Family and level: `crop 10%`."""
        return f"{self.family} {self.level}".rstrip()


def recompress(image: Image.Image, _random: Random, *, quality: int) -> bytes:
    """Save as a JPEG of a lower quality, 1 to 95."""
    return _jpeg(image, quality)


def webp(image: Image.Image, _random: Random, *, quality: int) -> bytes:
    """Save in another format: lossy WebP, 0 to 100."""
    file = BytesIO()
    image.save(file, "WEBP", quality=quality, method=0)
    return file.getvalue()


def resize(image: Image.Image, _random: Random, *, percent: int) -> bytes:
    """Scale both sides."""
    return _jpeg(_scaled(image, percent / 100, percent / 100))


def stretch(image: Image.Image, _random: Random, *, percent: int) -> bytes:
    """Make a picture wider, and no higher."""
    return _jpeg(_scaled(image, 1 + percent / 100, 1))


def crop(image: Image.Image, random: Random, *, percent: int) -> bytes:
    """Cut off a share of the width and of the height, divided at random between the two sides."""
    width, height = (max(1, round(side * (1 - percent / 100))) for side in image.size)
    left, top = random.randint(0, image.width - width), random.randint(0, image.height - height)
    return _jpeg(image.crop((left, top, left + width, top + height)))


def rotate(image: Image.Image, random: Random, *, degrees: int) -> bytes:
    """Turn by an angle to the left or the right; the corners become black."""
    angle = random.choice((-1, 1)) * degrees
    return _jpeg(image.rotate(angle, Image.Resampling.BICUBIC))


def turn(image: Image.Image, _random: Random, *, how: Image.Transpose) -> bytes:
    """Turn by a multiple of 90 degrees, or mirror."""
    return _jpeg(image.transpose(how))


def exif_turn(image: Image.Image, _random: Random) -> bytes:
    """Store a picture turned, as cameras do, with the EXIF orientation by which it is shown as before."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = _QUARTER_TURN
    file = BytesIO()
    image.transpose(Image.Transpose.ROTATE_90).save(file, "JPEG", quality=_QUALITY, exif=exif)
    return file.getvalue()


def brightness(image: Image.Image, _random: Random, *, percent: int) -> bytes:
    """Multiply all samples."""
    return _jpeg(ImageEnhance.Brightness(image).enhance(percent / 100))


def contrast(image: Image.Image, _random: Random, *, percent: int) -> bytes:
    """Multiply each sample's distance to the mean of the picture."""
    return _jpeg(ImageEnhance.Contrast(image).enhance(percent / 100))


def greyscale(image: Image.Image, _random: Random) -> bytes:
    """Take the colours away."""
    return _jpeg(image.convert("L"))


def blur(image: Image.Image, _random: Random, *, percent: int) -> bytes:
    """Blur by a Gaussian whose deviation is a share of the longer side."""
    return _jpeg(image.filter(ImageFilter.GaussianBlur(max(image.size) * percent / 100)))


def noise(image: Image.Image, random: Random, *, deviation: int) -> bytes:
    """Add grain to all channels alike: Gaussian, its deviation in steps of 8-bit samples."""
    # Out of a table: uniform bytes become Gaussian by their rank, and 128 is none.
    levels = bytes(round(128 + deviation * _normal(rank)) for rank in range(256))
    grain = Image.frombytes("L", image.size, random.randbytes(image.width * image.height).translate(levels))
    layer = Image.merge(image.mode, [grain] * len(image.getbands()))
    return _jpeg(ImageChops.add(image, layer, offset=-128))


def watermark(image: Image.Image, _random: Random, *, percent: int) -> bytes:
    """Lay a line of text over the middle, white, four fifths of the picture wide, of an opacity in percent."""
    mask = Image.new("L", image.size)
    draw = ImageDraw.Draw(mask)
    draw.text(
        (image.width / 2, image.height / 2), _TEXT, fill=round(255 * percent / 100), font=_font(image), anchor="mm"
    )
    white = Image.new(image.mode, image.size, "white")
    return _jpeg(Image.composite(white, image, mask))


def caption(image: Image.Image, _random: Random, *, percent: int) -> bytes:
    """Put a white band with a line of text below, its height a share of the picture's."""
    band = max(1, round(image.height * percent / 100))
    canvas = Image.new("RGB", (image.width, image.height + band), "white")
    canvas.paste(image, (0, 0))
    draw = ImageDraw.Draw(canvas)
    middle = (image.width / 2, image.height + band / 2)
    draw.text(middle, _TEXT, fill=_INK, font=_font(image, band / 2), anchor="mm")
    return _jpeg(canvas)


def border(image: Image.Image, _random: Random, *, percent: int, colour: str) -> bytes:
    """Put a frame around, a share of the longer side wide."""
    return _jpeg(ImageOps.expand(image.convert("RGB"), max(1, round(max(image.size) * percent / 100)), colour))


def screenshot(image: Image.Image, _random: Random, *, percent: int) -> bytes:
    """Show the picture in a program, and save the screen as PNG: bars above and below, and what is on them.

    Both bars together have a share of the picture's height.
    """
    bar = max(1, round(image.height * percent / 200))
    screen = Image.new("RGB", (image.width, image.height + 2 * bar), _BAR)
    screen.paste(image, (0, bar))
    draw = ImageDraw.Draw(screen)
    for centre in range(bar, image.width, 4 * bar):
        for middle in (bar / 2, image.height + 1.5 * bar):
            draw.ellipse((centre - bar / 4, middle - bar / 4, centre + bar / 4, middle + bar / 4), fill=_INK)
    file = BytesIO()
    screen.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _jpeg(image: Image.Image, quality: int = _QUALITY) -> bytes:
    file = BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def _scaled(image: Image.Image, across: float, down: float) -> Image.Image:
    size = max(1, round(image.width * across)), max(1, round(image.height * down))
    return image.resize(size, Image.Resampling.LANCZOS)


def _font(image: Image.Image, height: float | None = None) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    # The text has 13 letters of about half the font's size.
    across = 0.8 * image.width / (0.5 * len(_TEXT))
    return ImageFont.load_default(max(1.0, min(across, height or across)))


def _normal(rank: int) -> float:
    """The quantile of the normal distribution in the middle of one of 256 equal shares, by the logistic one.

    Its largest error is 0.1 standard deviations up to rank 250 (Bowling et al. 2009, doi:10.3926/jiem.2009.v2n1.p114).
    """
    share = (rank + 0.5) / 256
    return log(share / (1 - share)) / 1.702


def _all() -> Mapping[str, Transform]:
    transforms = [
        *(Transform("recompress", f"q{q}", partial(recompress, quality=q)) for q in (75, 40, 15)),
        Transform("webp", "q50", partial(webp, quality=50)),
        *(Transform("resize", f"{p}%", partial(resize, percent=p)) for p in (200, 50, 20)),
        *(Transform("stretch", f"{p}%", partial(stretch, percent=p)) for p in (10, 30)),
        *(Transform("crop", f"{p}%", partial(crop, percent=p)) for p in (2, 5, 10, 20)),
        *(Transform("rotate", f"{d}°", partial(rotate, degrees=d)) for d in (1, 3, 10)),
        Transform("turn", "90°", partial(turn, how=Image.Transpose.ROTATE_90)),
        Transform("turn", "180°", partial(turn, how=Image.Transpose.ROTATE_180)),
        Transform("mirror", "", partial(turn, how=Image.Transpose.FLIP_LEFT_RIGHT)),
        Transform("exif turn", "", exif_turn),
        *(Transform("brightness", f"{p}%", partial(brightness, percent=p)) for p in (60, 150)),
        *(Transform("contrast", f"{p}%", partial(contrast, percent=p)) for p in (60, 150)),
        Transform("greyscale", "", greyscale),
        *(Transform("blur", f"{p}%", partial(blur, percent=p)) for p in (1, 2)),
        Transform("noise", "20", partial(noise, deviation=20)),
        *(Transform("watermark", f"{p}%", partial(watermark, percent=p)) for p in (40, 80)),
        Transform("caption", "15%", partial(caption, percent=15)),
        *(Transform("border", f"{p}% {c}", partial(border, percent=p, colour=c)) for p, c in _BORDERS),
        *(Transform("screenshot", f"{p}%", partial(screenshot, percent=p)) for p in (10, 25)),
    ]
    return MappingProxyType({transform.name: transform for transform in transforms})


TRANSFORMS: Final = _all()
