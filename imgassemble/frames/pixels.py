"""Asks Pillow for the pixels of a picture, and encodes pixels for a web page.

Only the decoder of the picture's own format runs, on the file without its metadata. Pillow is imported with the first
picture. Must not know: frames, items, where a picture came from. Its decoding functions raise any exception of Pillow.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from io import BytesIO
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..limits import Format
from .binary import Size
from .containers import animation_of, orientation_of, still_of

if TYPE_CHECKING:
    from PIL.Image import Image

_PLUGINS: dict[Format, str] = {"PNG": "Png", "JPEG": "Jpeg", "WEBP": "WebP", "GIF": "Gif", "AVIF": "Avif"}
_COLOUR_INFO = frozenset({"icc_profile", "transparency"})  # the entries of Image.info that tell how the pixels look
# Modes that Pillow cannot scale smoothly, and those that it can.
_RESIZABLE = {"1": "L", "P": "RGBA", "PA": "RGBA", "I;16": "I", "I;16B": "I", "I;16L": "I"}
# How each orientation of EXIF becomes upright: members of PIL.Image.Transpose.
_TURNS = {
    2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE",
    8: "ROTATE_90",
}  # fmt: skip
# Browsers show a picture of an animation for 100 ms if its file says less than 11 ms.
_SHORTEST_MS, _DEFAULT_MS = 11, 100
# Good enough for a preview on a page, and fast: a quality between 0 and 100, and how much time the encoder may take.
ENCODER_OPTIONS: dict[Format, dict[str, Any]] = {
    "PNG": {"compress_level": 1},
    "JPEG": {"quality": 80},
    "WEBP": {"quality": 80, "method": 2},
    "GIF": {},
    "AVIF": {"quality": 60, "speed": 8},
}


def decode_picture(data: bytes, form: Format, size: Size | None, at_most: Size | None = None) -> Image:
    """Return the first picture, upright, as a new Pillow image that is loaded.

    `size`: its upright (width, height) in pixels; another one is a ValueError. `at_most`: the (width, height) in pixels
    into which it is scaled down; None for the whole size.
    """
    image = _open(still_of(data, form), form)
    orientation = orientation_of(data, form)
    _check_size(image, size, orientation)
    if at_most is not None:
        image = image.convert(_RESIZABLE[image.mode]) if image.mode in _RESIZABLE else image
        box = _turned(at_most, orientation)
        image.thumbnail(box, reducing_gap=1.0)  # averages first: twice as fast, looks the same
    image.load()  # also if the picture is smaller than `at_most`, and so was left as it is
    return _finished(image, orientation)


def decode_animation(data: bytes, form: Format, size: Size | None) -> Iterator[tuple[Image, float]]:
    """Yield every picture of an animation, upright, in RGB or RGBA, with its seconds; a still picture with 0 seconds.

    Each picture is decoded when it is asked for. `size` as for `decode_picture`.
    """
    image: Any = _open(animation_of(data, form), form)
    orientation = orientation_of(data, form)
    _check_size(image, size, orientation)
    is_animated = getattr(image, "is_animated", False)
    at = 1 if getattr(image, "default_image", False) else 0  # a PNG can hold one for programs that know no animation
    while True:
        try:
            image.seek(at)
        except EOFError:
            return
        image.load()
        yield _finished(as_rgb(image), orientation), _seconds(image.info) if is_animated else 0.0
        at += 1


def encode_picture(image: Image, form: Format) -> bytes:
    """Return `image` as a file for a web page, without metadata; a colour profile for RGB is kept.

    Raises UsageError if this Pillow cannot write the format.
    """
    profile = image.info.get("icc_profile") or b""
    image = as_rgb(image)
    if form == "JPEG" and image.mode == "RGBA":
        image = _on_white(image)
    file = BytesIO()
    try:
        import_plugin(form)
        image.save(file, form, icc_profile=profile if profile[16:20] == b"RGB " else None, **ENCODER_OPTIONS[form])
    except (ImportError, KeyError) as cause:
        raise UsageError(
            f"this Pillow cannot write {form}: choose another format, or install a newer Pillow"
        ) from cause
    return file.getvalue()


def as_rgb(image: Image) -> Image:
    """Return a new image in RGB, or in RGBA if `image` has transparency."""
    if image.mode.startswith("I"):  # 16 bits
        image = image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def import_plugin(form: Format) -> None:
    """Import Pillow's decoder and encoder of one format. Raises ImportError if this Pillow has none."""
    try:
        is_there = getattr(import_module(f"PIL.{_PLUGINS[form]}ImagePlugin"), "SUPPORTED", True)
    except ModuleNotFoundError:
        is_there = False
    if not is_there:
        raise ImportError(f"this Pillow cannot read {form}; install pillow 11.3 or newer")


def _open(data: bytes, form: Format) -> Image:
    import_plugin(form)
    from PIL import Image

    return Image.open(BytesIO(data), formats=[form])


def _check_size(image: Image, size: Size | None, orientation: int) -> None:
    if size is None or image.size != _turned(size, orientation):
        raise ValueError(f"its pixels are {image.size} and its header says {size}")


def _turned(size: Size, orientation: int) -> Size:
    return (size[1], size[0]) if orientation >= 5 else size


def _finished(image: Image, orientation: int) -> Image:
    """Return the image upright, without metadata that does not concern pixels."""
    if orientation in _TURNS:
        from PIL.Image import Transpose

        image = image.transpose(Transpose[_TURNS[orientation]])
    image.info = {name: value for name, value in image.info.items() if name in _COLOUR_INFO}
    return image


def _seconds(info: dict[str | tuple[int, int], Any]) -> float:
    duration_ms = info.get("duration") or 0
    return float(duration_ms if duration_ms >= _SHORTEST_MS else _DEFAULT_MS) / 1000


def _on_white(image: Image) -> Image:
    import PIL.Image

    paper = PIL.Image.new("RGB", image.size, "white")
    paper.paste(image, mask=image.getchannel("A"))
    return paper
