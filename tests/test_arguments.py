"""Mistakes of a newcomer: each is a UsageError whose sentence names the right form."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import samples

import imgassemble
from imgassemble import (
    Assembler,
    DirectorySink,
    FrameAdded,
    Limits,
    Refresher,
    UsageError,
    assemble,
    iter_updates,
    open_events,
    resuming,
    saved_events,
)
from imgassemble.cli.main import COMMANDS

EVENTS = [samples.done(content=samples.png())]


def wrong(value: Any) -> Any:
    """Return a value that type checkers would refuse."""
    return value


def final() -> Any:
    return assemble(EVENTS).require_final()


SLIPS: dict[str, tuple[Callable[[], Any], str]] = {
    "a class as the assembler": (
        lambda: assemble(EVENTS, assembler=wrong(Assembler)),
        "assembler is an Assembler, not the class Assembler: call it",
    ),
    "limits as the assembler": (
        lambda: iter_updates(EVENTS, wrong(Limits())),
        "assembler is an Assembler, not Limits",
    ),
    "a class as a sink": (
        lambda: assemble(EVENTS, sinks=[wrong(DirectorySink)]),
        "DirectorySink is a class: make a sink of it, as in sinks=[DirectorySink(folder)]",
    ),
    "a number as the patience": (
        lambda: list(resuming(lambda cursor: EVENTS, patience=wrong(5))),
        "patience is a Patience, not int: patience=Patience(silence_s=60)",
    ),
    "a mapping as the limits": (
        lambda: Assembler(limits=wrong({"max_items": 3})),
        "limits is a Limits, not dict: Limits(max_items=100)",
    ),
    "a number as the limits of a file": (
        lambda: open_events("otter.sse", limits=wrong(5)),
        "limits is a Limits, not int: Limits(max_items=100)",
    ),
    "a wrong keep": (
        lambda: Assembler(keep=wrong("last")),
        "keep is one of 'all', 'latest', not 'last'; did you mean 'latest'?",
    ),
    "a wrong key": (lambda: Assembler(key_by=wrong("item")), "not 'item'; did you mean 'item_id'?"),
    "a text as a switch": (lambda: Assembler(strict=wrong("no")), "strict is True or False, not 'no'"),
    "a type without a listener": (
        lambda: Assembler().subscribe(wrong(FrameAdded)),
        "FrameAdded is a type of updates: name a listener first, as in subscribe(callback, FrameAdded)",
    ),
    "a number as the reason": (lambda: Assembler().stop(wrong(5)), "reason is a str, not 5"),
    "a text as the error": (
        lambda: Assembler().close(wrong("reset")),
        "error is the exception that ended the stream, not str",
    ),
    "no format": (lambda: Limits(formats=()), "every picture would be refused: name some of PNG, JPEG"),
    "a format in small letters": (lambda: Limits(formats=(wrong("png"),)), "not 'png'; did you mean 'PNG'?"),
    "another name of a format": (lambda: Limits(formats=(wrong("JPG"),)), "not 'JPG'; did you mean 'JPEG'?"),
    "a format of encode": (lambda: final().encode((8, 8), "webp"), "not as 'webp'; did you mean 'WEBP'?"),
    "a picture saved to a number": (
        lambda: final().save(5),
        "the place of a picture is a path, not 5: 'otter.png' or Path",
    ),
    "a sink without a folder": (
        lambda: DirectorySink(wrong(None)),
        "the folder of a DirectorySink is a path, not None",
    ),
    "a wrong keep of a sink": (lambda: DirectorySink("out", keep=wrong("finals")), "did you mean 'final'?"),
    "a text as durable": (lambda: DirectorySink("out", durable=wrong("no")), "durable is True or False, not 'no'"),
    "a wrong policy": (lambda: Refresher(print, policy=wrong("last")), "not 'last'; did you mean 'latest'?"),
    "a folder that is missing": (
        lambda: saved_events("no-folder"),
        "there is no folder 'no-folder': name the one that",
    ),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_gets_a_sentence_that_says_what_to_write(slip: str) -> None:
    work, sentence = SLIPS[slip]
    with pytest.raises(UsageError) as caught:
        work()
    assert sentence in str(caught.value)


def test_a_misspelt_name_of_the_package_gets_a_suggestion() -> None:
    with pytest.raises(AttributeError, match="no attribute 'asemble'; did you mean 'assemble'"):
        _ = vars(imgassemble)["__getattr__"]("asemble")


@pytest.mark.parametrize("command", [*COMMANDS, ""])
def test_every_help_can_be_printed_by_an_ascii_terminal(command: str) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0"}
    words = [sys.executable, "-m", "imgassemble", *([command] if command else []), "--help"]
    ended = subprocess.run(words, env=environment, cwd=Path(__file__).parents[1], capture_output=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout.isascii()
