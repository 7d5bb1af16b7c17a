"""Films and sheets of a result, to keep and to show: previews that fade into the final, and grids with captions.

    from imgassemble import assemble, film

    result = assemble(stream)
    film.save_films(result, "otter.webp")
    film.save_sheet(result, "sheet.png")

The previews of a blocked image are never shown. Must not know: streams, how a frame of a film is painted.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Iterator, Mapping
from errno import EEXIST
from html import escape
from pathlib import Path
from typing import TypeVar

from .arguments import check_path, check_switch, closest, name_of_type, shorten
from .assembly.items import Item
from .assembly.results import Result
from .errors import FrameDecodeError, IncompleteStreamError, SinkError, UsageError, quoted
from .files import write_atomically
from .frames.frame import Frame
from .frames.pixels import encode_picture
from .limits import Format
from .screens.film_files import FILM_SUFFIXES, WITH_ALPHA, FilmFormat, check_encoder, encode_film
from .screens.film_frames import LONGEST_SIDE, FilmPlan, plan_film, shown_pictures
from .screens.sheet import draw_sheet

__all__ = ["InlineFilms", "inline_films", "save_films", "save_sheet"]

_SHEET_SUFFIXES: dict[str, Format] = {
    ".png": "PNG", ".webp": "WEBP", ".jpg": "JPEG", ".jpeg": "JPEG", ".avif": "AVIF",
}  # fmt: skip
_LONGEST_S = 600.0  # of a preview, and of the final
_LEAST_SIDE, _LEAST_SHEET_SIDE, _MOST_SHEET_SIDE = 1, 64, 1024  # pixels
_Form = TypeVar("_Form")


def save_films(
    result: Result,
    path: str | os.PathLike[str],
    *,
    size: int | None = None,
    preview_s: float | None = None,
    final_s: float = 3.0,
    overwrite: bool = False,
) -> tuple[Path, ...]:
    """Write a film of each image, and return the paths: the previews in their order fade into each other, and then into
    the final, which is held longest.

    path: the suffix says the format: .webp, .avif, .gif, or .mp4 with the extra `video`; without a suffix it is .webp.
        If the result has several images, each has a file of its own: otter-1.webp, otter-2.webp, … for "otter.webp".
    size: the longest side in pixels, from 1 to 4,096. A film is never larger than its final. None: as large as that.
    preview_s: the seconds of each preview with its cross-fade, from 0 to 600; None: 0.8, and less for more than 18
        previews, so that they take 15 seconds, or 0.06 each.
    final_s: the seconds for which the final is held, from 0 to 600.
    overwrite: replace a file that exists.

    The film of an image without a final ends with its last preview, marked "draft" or "failed". WebP and AVIF keep the
    transparency of the final; otherwise it is shown on a checkerboard.

    Raises SinkError if a file exists or cannot be written. Raises UsageError for a wrong argument, and if an encoder is
    missing. Raises FrameDecodeError if the pixels of a final are damaged; other films are written before.
    Raises the error of the result if it has no picture to show.

        film.save_films(assemble(Path("otter.sse")), "otter.webp", size=512)
    """
    return tuple(write_films(result, path, size=size, preview_s=preview_s, final_s=final_s, overwrite=overwrite))


def write_films(
    result: Result,
    path: str | os.PathLike[str],
    *,
    size: int | None = None,
    preview_s: float | None = None,
    final_s: float = 3.0,
    overwrite: bool = False,
) -> Iterator[Path]:
    """Write the films as `save_films` does, and yield each path when its file is there."""
    _check_result(result)
    target, form = film_path(path)
    _check_side(size, _LEAST_SIDE, LONGEST_SIDE)
    _check_length("preview_s", preview_s)
    _check_length("final_s", final_s)
    check_switch("overwrite", overwrite)
    items = list(result.items.values())
    shown = {_path_of(target, number, len(items)): item for number, item in enumerate(items, 1) if _is_shown(item)}
    _check_any_shown(result)
    for each in shown:
        _check_free(each, overwrite=overwrite)
    error: FrameDecodeError | None = None
    for each, item in shown.items():
        try:
            plan = _plan(item, form, size, preview_s, final_s)
        except FrameDecodeError as cause:
            error = error or cause
            continue
        if plan is not None:
            yield write_atomically(each, encode_film(plan, form))
    if error is not None:
        raise error


def save_sheet(
    result: Result,
    path: str | os.PathLike[str],
    *,
    size: int = 256,
    seconds: Mapping[Frame, float] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a sheet, and return its path: all pictures in a grid on a light ground, each with its caption.

    path: the suffix says the format: .png, .webp, .jpg or .avif; without a suffix it is .png.
    size: the longest side of each picture in pixels, from 64 to 1,024. A picture is never enlarged.
    seconds: when each frame arrived, for the captions: {frame: seconds}, as `Meter.frame_seconds` returns it.
    overwrite: replace a file that exists.

    Each image begins a row. A caption is "preview 1", "final" or "draft: …"; a text stands for an image that failed or
    was blocked. A sheet has at most 100 pictures and 2**25 pixels.

    Raises SinkError if the file exists or cannot be written, UsageError for a wrong argument and a sheet that is too
    large, and the error of the result if it has no picture to show.

        film.save_sheet(assemble(Path("otter.sse")), "sheet.png")
    """
    _check_result(result)
    target, form = sheet_path(path)
    _check_side(size, _LEAST_SHEET_SIDE, _MOST_SHEET_SIDE)
    if seconds is not None and not isinstance(seconds, Mapping):
        raise UsageError(f"seconds is a mapping of frames to seconds, not {shorten(seconds)}")
    check_switch("overwrite", overwrite)
    _check_any_shown(result)
    _check_free(target, overwrite=overwrite)
    return write_atomically(target, encode_picture(draw_sheet(result.items.values(), size, seconds), form))


class InlineFilms:
    """The films of a result as a notebook shows them. Make it with `inline_films`."""

    def __init__(self, films: Mapping[str, bytes]) -> None:
        self._films = films

    def __repr__(self) -> str:
        count, n_bytes = len(self._films), sum(map(len, self._films.values()))
        return f"<InlineFilms: {count} {'film' if count == 1 else 'films'}, {n_bytes:,} bytes>"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        images = (
            f'<img alt="{escape(name)}" src="data:image/webp;base64,{b64encode(data).decode("ascii")}" '
            'style="max-width:100%;margin:0 8px 8px 0">'
            for name, data in self._films.items()
        )
        return {"text/plain": repr(self), "text/html": "".join(images)}


def inline_films(result: Result, *, size: int = 384) -> InlineFilms:
    """Return the films of a result for the last line of a notebook's cell, which shows them as animated WebP.

    size: the longest side in pixels, from 1 to 4,096. The notebook's file holds the films.

    Raises FrameDecodeError if the pixels of a final are damaged, and the error of the result if it has no picture to
    show.

        film.inline_films(result)
    """
    _check_result(result)
    _check_side(size, _LEAST_SIDE, LONGEST_SIDE)
    _check_any_shown(result)
    items = enumerate(result.items.values(), 1)
    plans = ((f"film of image {number}", _plan(item, "WEBP", size, None, 3.0)) for number, item in items)
    return InlineFilms({name: encode_film(plan, "WEBP") for name, plan in plans if plan is not None})


def film_path(path: str | os.PathLike[str]) -> tuple[Path, FilmFormat]:
    """Return the path of a film with its suffix, and the format. Raises UsageError if its encoder is missing."""
    target, form = _with_suffix(path, FILM_SUFFIXES, "a film")
    check_encoder(form)
    return target, form


def sheet_path(path: str | os.PathLike[str]) -> tuple[Path, Format]:
    """Return the path of a sheet with its suffix, and the format."""
    return _with_suffix(path, _SHEET_SUFFIXES, "a sheet")


def _plan(item: Item, form: FilmFormat, size: int | None, preview_s: float | None, final_s: float) -> FilmPlan | None:
    return plan_film(
        item,
        can_keep_alpha=form in WITH_ALPHA,
        has_even_sides=form == "MP4",
        size=size,
        preview_s=preview_s,
        final_s=final_s,
    )


def _is_shown(item: Item) -> bool:
    return next(shown_pictures(item), None) is not None


def _path_of(target: Path, number: int, count: int) -> Path:
    return target if count == 1 else target.with_name(f"{target.stem}-{number}{target.suffix}")


def _with_suffix(path: str | os.PathLike[str], suffixes: Mapping[str, _Form], what: str) -> tuple[Path, _Form]:
    check_path("path", path)
    target = Path(path)
    if not target.name:
        raise UsageError(f"path is the name of {what}, like 'otter{next(iter(suffixes))}', not {shorten(path)}")
    suffix = target.suffix.lower()
    if not suffix:
        first = next(iter(suffixes))
        return target.with_name(target.name + first), suffixes[first]
    if suffix not in suffixes:
        known = ", ".join(suffixes)
        raise UsageError(f"the name of {what} ends in {known}, not {quoted(target.suffix)}{closest(suffix, suffixes)}")
    return target, suffixes[suffix]


def _check_result(result: object) -> None:
    if not isinstance(result, Result):
        raise UsageError(f"result is the Result of a stream, not {name_of_type(result)}: assemble(stream) returns it")


def _check_any_shown(result: Result) -> None:
    """Raise the error of a result that has no picture to show."""
    if any(map(_is_shown, result.items.values())):
        return
    result.raise_for_outcome()
    raise IncompleteStreamError(
        "the stream has no picture to show; its events say that it is complete: if its pictures were taken out, "
        "put them back by with_pictures()"
    )


def _check_free(path: Path, *, overwrite: bool) -> None:
    if not overwrite and os.path.lexists(path):
        raise SinkError(
            f"{quoted(os.fspath(path))} exists already: choose another name, or replace it with overwrite=True "
            "(--overwrite)",
            path=path,
            errno=EEXIST,
        )


def _check_side(size: object, least: int, most: int) -> None:
    if size is not None and not (isinstance(size, int) and not isinstance(size, bool) and least <= size <= most):
        raise UsageError(f"size is a number of pixels from {least} to {most:,}, not {shorten(size)}")


def _check_length(name: str, value: object) -> None:
    if value is not None and not (
        isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= _LONGEST_S
    ):
        raise UsageError(f"{name} is a number of seconds from 0 to {_LONGEST_S:g}, not {shorten(value)}")
