"""Parse the command line of `imgassemble` and run the command that it names.

A command's module is imported only when that command is named, so that `imgassemble --help` is fast.
Must not know: the arguments of a command, and its work.
"""

from __future__ import annotations

import argparse
import logging
import sys
from importlib import import_module

from .. import __version__
from ..console import say
from ..errors import SinkError, UsageError
from .exit_codes import INTERRUPTED, STORAGE, USAGE, describe_exit_codes
from .options import add_options

# The commands and their purposes. The module and the function that run a command have the command's name.
COMMANDS = {
    "save": "write every preview and every final picture to a folder, as they arrive",
    "watch": "show a stream in the terminal as it arrives: previews in place, states, seconds",
    "inspect": "report the contents of a stream or a saved folder: images, states, previews, sizes, seconds, problems",
    "strip": "print the events without their pictures, for logs and bug reports",
    "animate": "make a film of each image: its previews fade into the final (WebP, AVIF, GIF, MP4)",
    "sheet": "draw all previews and finals in a grid with captions",
    "view": "show a stream, or a folder that save writes, on a live page in the browser",
    "relay": "send a stream to a gallery on Redis, where any number of processes show it",
    "demo": "show simulated streams on a live page: no API key, no network",
    "simulate": "simulate a service: make a stream of previews and pictures, with the faults that you choose",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command that `arguments` (default: `sys.argv`) name and return its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    chosen = next((word for word in words if not word.startswith("-")), "")
    logger = logging.getLogger("imgassemble")
    logger.addFilter(_is_no_anomaly)
    try:
        parser = _build_parser(chosen)
        if not words:
            parser.exit(USAGE, parser.format_help())
        options = parser.parse_args(words)
        return int(options.run(options))
    except UsageError as error:
        say(str(error))
        return USAGE
    except SinkError as error:
        say(str(error))
        return STORAGE
    except KeyboardInterrupt:
        say("interrupted; everything received so far is kept")
        return INTERRUPTED
    finally:
        logger.removeFilter(_is_no_anomaly)


def _is_no_anomaly(record: logging.LogRecord) -> bool:
    """Return False for the record of an anomaly, which the commands print themselves."""
    return not hasattr(record, "anomaly_code")


def _build_parser(chosen: str) -> argparse.ArgumentParser:
    """Return a parser that knows all commands, and the arguments of the one that is `chosen`."""
    parser = argparse.ArgumentParser(
        prog="imgassemble",
        description="Turn the event stream of an image-generation API into pictures.",
        epilog=describe_exit_codes(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"imgassemble {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, about in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=about,
            description=about[0].upper() + about[1:] + ".",
            epilog=describe_exit_codes(name),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name == chosen:
            module = import_module(f".{name}", __package__)
            add_options(command, module.OPTIONS)
            command.set_defaults(run=getattr(module, name))
    return parser
