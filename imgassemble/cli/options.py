"""Arguments that several commands share, as tables: the source, the key of an image, the looks, the limits.

Must not know: how a command uses its arguments.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import UsageError, quoted
from ..limits import Limits


class Option(NamedTuple):
    """One argument of a command: the arguments of `argparse.ArgumentParser.add_argument`, and its group in the help."""

    flags: tuple[str, ...]
    details: dict[str, Any]
    group: str


def option(*flags: str, group: str = "", **details: Any) -> Option:
    """Return the `Option` with these flags. `group`: the title under which the help lists it."""
    return Option(flags, details, group)


def output_option(metavar: str, about: str) -> Option:
    """Return the option -o of the commands that write a file or a folder, a Path that must be given."""
    return option("-o", "--output", metavar=metavar, required=True, type=Path, help=about)


def add_options(parser: argparse.ArgumentParser, options: Iterable[Option]) -> None:
    """Add `options` to `parser`, those with a group under its title."""
    groups: dict[str, Any] = {"": parser}
    for flags, details, group in options:
        if group not in groups:
            groups[group] = parser.add_argument_group(group)
        groups[group].add_argument(*flags, **details)


def is_redis(source: str) -> bool:
    """Return whether a source is the address of a server of Redis or Valkey."""
    return source.startswith(("redis://", "rediss://", "unix://"))


# ---- the types of values


def image_size(text: str) -> tuple[int, int]:
    """Parse WIDTHxHEIGHT and return (width, height) in pixels, each at least 1."""
    width, _, height = text.lower().partition("x")
    if not all(side.isascii() and side.isdigit() and int(side[:6]) for side in (width, height)):
        raise argparse.ArgumentTypeError(f"a size is WIDTHxHEIGHT in pixels, like 1024x1024, not {quoted(text)}")
    return int(width[:6]), int(height[:6])


def whole_number(text: str) -> int:
    """Parse a whole number of at least 1."""
    if not (text.isascii() and text.isdigit() and int(text[:15])):
        raise argparse.ArgumentTypeError(f"a count is a whole number from 1, not {quoted(text)}")
    return int(text[:15])


_MOST_SECONDS = 1e6  # more than any stream lasts; `select` accepts them


def seconds(text: str) -> float:
    """Parse a number of seconds above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= _MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"a time is a number of seconds above 0, like 30 or 0.5, not {quoted(text)}")
    return number


_UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_BYTE_COUNT = re.compile(r"([0-9]{1,15}) ?([a-z]*)", re.IGNORECASE)


def byte_count(text: str) -> int:
    """Parse a number of bytes of at least 1, with or without a unit: 268435456, 256MiB, 1GB."""
    found = _BYTE_COUNT.fullmatch(text)
    unit = _UNITS.get(found[2].lower()) if found else None
    if not (found and unit and int(found[1])):
        raise argparse.ArgumentTypeError(f"a number of bytes is 268435456 or 256MiB, for example, not {quoted(text)}")
    return int(found[1]) * unit


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip().upper() for name in text.split(","))


# ---- the options

SOURCE = option(
    "source", metavar="SOURCE", help="a recorded stream or answer (SSE, JSON Lines, JSON); - for standard input"
)
GALLERY = option("--gallery", default="pictures", metavar="NAME", help="the gallery on Redis (default: pictures)")
KEY_BY = option(
    "--key-by",
    choices=("item_id", "output_index"),
    default="item_id",
    help="the field that identifies an image; output_index for services whose item ids change with every event",
)
LOOKS = (
    option(
        "--graphics",
        choices=("kitty", "iterm2", "blocks", "blocks-256", "text"),
        help="how pictures are shown (default: the best way that the terminal supports; text without a terminal)",
    ),
    option(
        "--size",
        metavar="WxH",
        type=image_size,
        default=(1024, 1024),
        help="the expected size of the picture, for the placeholder (default: 1024x1024)",
    ),
)

_LIMITS_TITLE = "limits (BYTES is a number like 250000 or 256MiB)"
# The help of each field of `Limits`.
_LIMIT_HELP = {
    "max_event_bytes": "largest message",
    "max_frame_bytes": "largest picture, in bytes",
    "max_frame_pixels": "largest picture, width times height",
    "max_frames_per_item": "previews kept for one image",
    "max_items": "images in one stream",
    "max_total_bytes": "all pictures together",
    "formats": "accepted formats, separated by commas",
}


def _limit_option(name: str, default: Any) -> Option:
    kind: Callable[[str], Any]
    if isinstance(default, tuple):
        kind, metavar, shown = _names, "LIST", ",".join(default)
    elif name.endswith("_bytes"):
        kind, metavar, shown = byte_count, "BYTES", _in_units(default)
    else:
        kind, metavar, shown = whole_number, "N", str(default)
    about = f"{_LIMIT_HELP.get(name, name)} (default: {shown})"
    return option(f"--{name.replace('_', '-')}", group=_LIMITS_TITLE, metavar=metavar, type=kind, help=about)


def _in_units(n_bytes: int) -> str:
    """The shortest exact form of a number of bytes, like 256MiB."""
    for unit in ("GiB", "MiB", "KiB"):
        if n_bytes % _UNITS[unit.lower()] == 0:
            return f"{n_bytes // _UNITS[unit.lower()]}{unit}"
    return str(n_bytes)


LIMITS = tuple(_limit_option(field.name, getattr(Limits(), field.name)) for field in fields(Limits))


def limits_from(options: argparse.Namespace) -> Limits:
    """Return the `Limits` that the options of LIMITS give. Raises UsageError if a value is out of its range."""
    given = {field.name: getattr(options, field.name) for field in fields(Limits)}
    try:
        return Limits(**{name: value for name, value in given.items() if value is not None})
    except UsageError as error:
        raise UsageError(re.sub(r"Limits\.(\w+)", lambda name: f"--{name[1].replace('_', '-')}", str(error))) from error
