"""The command `imgassemble`: which commands there are, and their arguments.

Knows: the words of the command line. Must not know: what the commands do. Each lives in a module that is imported when
it is run, so that `--help` and a slip of the pen are answered at once.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from .. import __version__
from ..console import EXIT_CODES, INTERRUPTED, STORAGE, USAGE, say
from ..errors import SinkError, UsageError, quoted


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    options = _parser(words[0] if words else "").parse_args(words)
    try:
        return int(options.run(options))
    except UsageError as error:
        say(str(error))
        return USAGE
    except SinkError as error:
        say(str(error))
        return STORAGE
    except KeyboardInterrupt:
        say("interrupted; what came is kept")
        return INTERRUPTED


def _parser(chosen: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="imgassemble",
        description="Turn the event stream of an image-generation API into pictures.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"imgassemble {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add(commands, "save", "write every preview and every final picture to a folder, as they come", [
        (("-o", "--output"), {"metavar": "DIR", "required": True, "type": Path,
            "help": "the folder: DIR/<item>/partial-000.png, …, final.png, item.json; made where it is missing"}),
        (("--keep",), {"choices": ("all", "latest"), "default": "all",
            "help": "which previews stay: all, or only the latest of each image (default: all)"}),
        (("--overwrite",), {"action": "store_true", "help": "replace what an earlier run wrote for the same image"}),
        (("--resume",), {"action": "store_true",
            "help": "go on in the DIR of a run that was cut or killed, and that holds nothing of other streams; SOURCE "
                "may begin anew or where it broke"}),
        (("--tee",), {"metavar": "FILE", "type": Path,
            "help": "also keep the stream in FILE, which must be new; with --resume it is added to"}),
        (("--json",), {"action": "store_true", "help": "tell every update as a line of JSON on standard output"}),
        (("--show",), {"action": "store_true", "help": "also show the pictures, as watch does, on standard error"}),
        *_LOOKS,
    ])  # fmt: skip
    _add(
        commands,
        "watch",
        "show a stream in the terminal as it comes: previews in place, states, seconds",
        _LOOKS,
    )
    _add(commands, "inspect", "tell what is in a stream: images, states, frames, sizes, timings, anomalies", [
        (("--json",), {"action": "store_true", "help": "tell every image, and then the stream, as a line of JSON"}),
    ])  # fmt: skip
    for name, (home, about) in _ELSEWHERE.items():
        other = commands.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
        if name == chosen:  # the others do without its modules
            import_module(home, __package__).add_command(name, other)
    return parser


# Commands that live with what they serve, and what they are for.
_ELSEWHERE = {
    "view": (".page_commands", "show a stream, or a folder that save writes, on a live page in the browser"),
    "demo": (".page_commands", "show streams that are made here on a live page: no key, no network"),
    "simulate": (".simulate", "stand in for a service: a stream of previews and pictures, made here, with any "
        "fault wanted"),
}  # fmt: skip


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not all(side.isascii() and side.isdigit() and int(side[:6]) for side in (width, height)):
        raise argparse.ArgumentTypeError(f"a size is WIDTHxHEIGHT in pixels, such as 1024x1024, not {quoted(text)}")
    return int(width[:6]), int(height[:6])


_LOOKS: list[Any] = [
    (("--graphics",), {"choices": ("kitty", "iterm2", "blocks", "blocks-256", "text"),
        "help": "how pictures are shown (default: the best that the terminal says it can; text where there is none)"}),
    (("--size",), {"metavar": "WxH", "type": _size, "default": (1024, 1024),
        "help": "the size that is expected, for the placeholder (default: 1024x1024)"}),
]  # fmt: skip


def _add(commands: Any, name: str, about: str, options: list[Any]) -> None:
    parser = commands.add_parser(
        name,
        help=about,
        description=about[0].upper() + about[1:] + ".",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source", metavar="SOURCE", help="a recorded stream or answer (SSE, JSON Lines, JSON); - for standard input"
    )
    for flags, details in options:
        parser.add_argument(*flags, **details)
    parser.add_argument("--key-by", choices=("item_id", "output_index"), default="item_id",
        help="what names an image; output_index for services whose item ids change with every event")  # fmt: skip
    parser.set_defaults(run=partial(_run, name))


def _run(name: str, options: argparse.Namespace) -> int:
    return int(getattr(import_module(".stream_commands", __package__), name)(options))
