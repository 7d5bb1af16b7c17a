"""Encode a film as a file: WebP, AVIF and GIF with Pillow, MP4 with PyAV (the extra `video`).

Must not know: paths, items, streams.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from importlib import import_module
from io import BytesIO
from itertools import islice, repeat
from typing import Any, Literal, cast

from PIL import Image

from ..errors import UsageError
from ..frames.pixels import ENCODER_OPTIONS, import_plugin
from ..limits import Format
from .film_frames import STEP_S, FilmPlan

FilmFormat = Literal["WEBP", "AVIF", "GIF", "MP4"]
FILM_SUFFIXES: dict[str, FilmFormat] = {".webp": "WEBP", ".avif": "AVIF", ".gif": "GIF", ".mp4": "MP4"}
WITH_ALPHA: tuple[FilmFormat, ...] = ("WEBP", "AVIF")  # a GIF has pixels that are wholly transparent only
_STEP_MS = round(STEP_S * 1000)
_MOST_GIF_PIXELS = 2**28  # of all frames: Pillow keeps them all, one byte for a pixel
_EXTRA: dict[FilmFormat, dict[str, Any]] = {
    "AVIF": {"range": "limited"}  # Chromium 156 shows an animation of full range too bright
}
_BT709, _LIMITED_RANGE = 1, 1  # in ISO/IEC 23091-2, and of FFmpeg
_QUALITY = "18"  # of H.264: the "crf", at which a person sees no difference


def encode_film(plan: FilmPlan, form: FilmFormat) -> bytes:
    """Return the film as a file, which repeats for ever (a video does not).

    Raises UsageError if this Pillow cannot write the format, if PyAV is missing, and for a GIF that needs more than
    256 MiB of memory.
    """
    if form == "MP4":
        return _encode_video(plan)
    check_encoder(form)
    steps = plan.steps
    n_pixels = len(steps) * plan.size[0] * plan.size[1]
    if form == "GIF" and n_pixels > _MOST_GIF_PIXELS:
        raise UsageError(
            f"a GIF of {len(steps)} frames of {plan.size[0]}x{plan.size[1]} pixels takes {n_pixels >> 20:,} MiB of "
            "memory: choose a smaller size, like 512, or another format"
        )
    file = BytesIO()
    options: dict[str, Any] = {"save_all": True, "loop": 0, "duration": [each * _STEP_MS for each in steps]}
    _Reel(plan.frames(), len(steps)).save(
        file, form, **ENCODER_OPTIONS[cast(Format, form)] | _EXTRA.get(form, {}) | options
    )
    return file.getvalue()


def check_encoder(form: FilmFormat) -> None:
    """Raise UsageError if the encoder of a format is missing."""
    try:
        if form == "MP4":
            import_module("av")
        else:
            import_plugin(cast(Format, form))
    except ImportError as cause:
        if form == "MP4":
            advice = "an MP4 needs PyAV: pip install 'imgassemble[video]', or choose another name, like otter.webp"
        else:
            advice = f"this Pillow cannot write {form}: choose another name, like otter.webp, or install a newer Pillow"
        raise UsageError(advice) from cause


class _Reel(Image.Image):
    """A film for Pillow's encoders: an image of many frames, of which one at a time is in memory."""

    def __init__(self, frames: Iterator[Image.Image], n_frames: int) -> None:
        super().__init__()
        self._frames = frames
        self._at = -1
        self.n_frames, self.is_animated = n_frames, n_frames > 1
        self.seek(0)

    def seek(self, frame: int) -> None:
        """Go on to a later frame. An earlier one is not painted again: encoders go back only after the last one."""
        if frame >= self.n_frames:
            raise EOFError("the film has no more frames")
        if frame > self._at:
            for image in islice(self._frames, frame - self._at):
                self.im, self._mode, self._size = image.im, image.mode, image.size
            self._at = frame

    def tell(self) -> int:
        """Return the number of the frame in memory, from 0."""
        return self._at


def _encode_video(plan: FilmPlan) -> bytes:
    check_encoder("MP4")
    av: Any = import_module("av")
    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(1000, _STEP_MS), options={"crf": _QUALITY})
        stream.width, stream.height = plan.size
        stream.pix_fmt = "yuv420p"  # the only one that all browsers play
        context = stream.codec_context  # without these facts, browsers guess the colours by the size
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED_RANGE
        for image, steps in zip(plan.frames(), plan.steps, strict=True):
            frame = av.VideoFrame.from_image(image).reformat(format="yuv420p", dst_colorspace="ITU709")
            for repeated in repeat(frame, steps):
                repeated.pts = None  # the encoder counts the frames
                container.mux(stream.encode(repeated))
        container.mux(stream.encode(None))
    return file.getvalue()
