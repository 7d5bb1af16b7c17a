"""The exit codes of the commands, and their description for the help.

Must not know: when a command gives a code.
"""

from collections.abc import Iterable

OK, INCOMPLETE, NO_IMAGE, FAILED, UNREADABLE, STORAGE, USAGE, INTERRUPTED = 0, 3, 4, 5, 6, 7, 2, 130

_DESCRIPTIONS = {  # in the order in which they apply
    STORAGE: "storage: a file cannot be written, or another file is in its place",
    UNREADABLE: "nothing could be read, or no received picture could be used",
    FAILED: "failed: the service reported an error",
    NO_IMAGE: "no image: a refusal, a text answer, another kind of stream",
    INCOMPLETE: "incomplete, or a final that is only the last preview",
    OK: "every image has its final",
    USAGE: "wrong use",
    INTERRUPTED: "interrupted; everything received so far is kept",
}
_OF_PAGES = {OK: "the server was stopped", USAGE: _DESCRIPTIONS[USAGE], INTERRUPTED: "ended with Ctrl-C"}
# Commands whose codes have another meaning, or that have fewer codes.
_OWN: dict[str, dict[int, str]] = {
    "strip": {
        STORAGE: "storage: the events cannot be written",
        UNREADABLE: "nothing could be read",
        OK: "the events are printed",
        USAGE: _DESCRIPTIONS[USAGE],
        INTERRUPTED: "interrupted",
    },
    "relay": {**_DESCRIPTIONS, STORAGE: "storage: Redis does not take the stream, or another producer makes it"},
    "view": _OF_PAGES,
    "demo": _OF_PAGES,
    "simulate": {
        STORAGE: "storage: the stream cannot be written",
        OK: "the stream is written, or the server was stopped",
        USAGE: _DESCRIPTIONS[USAGE],
        INTERRUPTED: "ended with Ctrl-C",
    },
}


def describe_exit_codes(command: str = "") -> str:
    """Return the end of the help of a command: its exit codes. Without `command`, those of most commands."""
    rows: Iterable[tuple[int, str]] = _OWN.get(command, _DESCRIPTIONS).items()
    return "\n".join(["exit codes (the first that applies):", *(f"  {code:<3}  {text}" for code, text in rows)])
