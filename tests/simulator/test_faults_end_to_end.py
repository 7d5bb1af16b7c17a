"""The result of each fault for a user: through the library, and through the command with its files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from functools import cache
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from imgassemble import Assembler, ImgassembleError, Outcome, Result, iter_updates
from imgassemble.cli.main import main
from imgassemble.simulator.answers import DIALECTS, FAULTS, Answer, Order, pictures_of, play

# The services as columns. The dialect of 2025 sends `completed` for an image, that of 2026 does not.
_ORDER = Order(size=(64, 48), is_portable=True)
COLUMNS = {
    "2025": replace(_ORDER, dialect="openai-2025"),
    "2026": _ORDER,
    "images": replace(_ORDER, api="images"),
    "router": replace(_ORDER, api="router-images"),
    "chat": replace(_ORDER, api="chat"),
}
# The number of events before the one with the picture: a cut there leaves the partials.
BEFORE_THE_END = {"2025": 10, "2026": 8, "images": 2, "router": 2, "chat": 4}


@dataclass(frozen=True, kw_only=True)
class Gets:
    """A result; `error`: a piece of its sentence; `anomalies`: their codes, those of items first."""

    states: tuple[str, ...] = ("completed",)
    outcome: str = "completed"
    error: str | None = None
    code: int = 0
    partials: tuple[int, ...] = ()
    has_final: bool = True
    anomalies: tuple[str, ...] = ()


Row = dict[str, Gets]
_SOUND: Row = {
    "2025": Gets(partials=(0, 1, 2)),
    "2026": Gets(partials=(0, 1, 2)),
    "images": Gets(partials=(0, 1)),
    "router": Gets(partials=(0, 1)),
    "chat": Gets(),
}
_RESPONSES, _IMAGES, _STREAMED = ("2025", "2026"), ("images", "router"), ("2025", "2026", "images", "router")
_FOR_LACK_OF = Gets(states=("incomplete",), outcome="incomplete", error="was complete", code=3, has_final=False)
_NO_IMAGE = Gets(states=(), outcome="no_image", error="no image", code=4, has_final=False)
_IN_WORDS = replace(_NO_IMAGE, error="Here is your picture")  # the words of a chat before its picture


def row(*names: str, **changes: Any) -> Row:
    """Return the row of a sound stream for these columns (default: all), with changes."""
    return {name: replace(_SOUND[name], **changes) for name in names or _SOUND}


def lacking(*names: str, **changes: Any) -> Row:
    """Return the row of a stream without a result: incomplete."""
    return {name: replace(_FOR_LACK_OF, partials=_SOUND[name].partials, **changes) for name in names or _SOUND}


def failed(code: str, states: tuple[str, ...] = ("failed",)) -> Row:
    """Return the row of a failure after the partials; a chat has nothing before the picture."""
    said = {"states": states, "outcome": "failed", "error": f"({code})", "code": 5, "has_final": False}
    return row(*_STREAMED, **said) | row("chat", **said | {"states": ()})


def failed_with(text: str, *names: str) -> Row:
    """Return the row of a failure after the partials with this text in its error; a chat has no item then."""
    gets = {"states": ("failed",), "outcome": "failed", "error": text, "code": 5, "has_final": False}
    found = row(*(names or _STREAMED), **gets)
    return found if names else found | row("chat", **gets | {"states": ()})


def refused(text: str) -> Row:
    """Return the row of an HTTP error with this text."""
    return row(states=(), outcome="failed", error=text, code=5, partials=(), has_final=False)


def unusable(anomaly: str, times: dict[str, int]) -> Row:
    """Return the row of a stream without a usable picture; `times`: the number of pictures of each service."""
    return {name: replace(_FOR_LACK_OF, code=6, anomalies=(anomaly,) * many) for name, many in times.items()}


def cut() -> Row:
    """Return the row of a stream that ends after the partials."""
    return lacking(*_STREAMED) | {"chat": _IN_WORDS}


_PROVISIONAL = {"has_final": False, "code": 3}
TABLE: dict[str, Row] = {
    "fewer-partials": row(*_STREAMED, partials=(0,)) | row("chat"),
    "final-equals-partial": row(),
    "final-unlike-partial": row(*_RESPONSES, partials=(0, 1)) | row("images", "router", "chat"),
    "tiny-picture": (
        row(*_RESPONSES, anomalies=("false_claim",) * 4)  # once for each picture in its place
        | row("images", anomalies=("false_claim",) * 3)
        | row("router", "chat")  # these claim no size
    ),
    "huge-event": row(),
    "cut-picture": (
        row("2025", **_PROVISIONAL, anomalies=("bad_picture",) * 2)
        | lacking("2026", anomalies=("bad_picture",) * 2)
        | lacking(*_IMAGES, anomalies=("bad_picture",))
        | lacking("chat", anomalies=("bad_picture",), code=6)
    ),
    "wrong-format": (
        row(*_RESPONSES, anomalies=("false_claim",) * 4)  # once for each picture in its place
        | row("images", anomalies=("false_claim",) * 3)
        | row("router", "chat", anomalies=("false_claim",))
    ),
    "status-generating": row(),
    "no-final": (row("2025", **_PROVISIONAL) | lacking("2026") | lacking(*_IMAGES) | {"chat": _IN_WORDS}),
    "cut-base64": unusable("bad_base64", {"2025": 5, "2026": 5, "images": 3, "router": 3, "chat": 1}),
    "blank-payload": unusable("bad_base64", {"2025": 5, "2026": 5, "images": 3, "router": 3, "chat": 1}),
    "no-completed": row(*_RESPONSES) | lacking(*_IMAGES) | row("chat"),
    "keepalive": row(),
    "empty-errors": row(),
    "error-nested": failed("server_error"),
    "error-flat": failed("server_error"),
    "error-text": failed_with("The server had an error"),
    "error-object": failed_with("The server had an error"),
    "error-field": failed_with("The server had an error"),
    "error-in-data": row(*_RESPONSES, "chat") | failed_with("The server had an error", *_IMAGES),
    "response-incomplete": (lacking(*_RESPONSES, error="content_filter") | lacking(*_IMAGES) | {"chat": _NO_IMAGE}),
    "moderation-stream": (
        row(
            *_RESPONSES,
            states=("failed",),
            outcome="failed",
            error="(moderation_blocked)",
            code=5,
            partials=(),
            has_final=False,
        )
        | row(
            *_IMAGES,
            "chat",
            states=(),
            outcome="failed",
            error="(moderation_blocked)",
            code=5,
            partials=(),
            has_final=False,
        )
    ),
    "moderation-after-previews": failed("moderation_blocked"),
    "response-failed": failed("server_error"),
    "refusal": (
        dict.fromkeys((*_RESPONSES, "chat"), replace(_NO_IMAGE, error="I can't make that picture"))
        | {"images": replace(_NO_IMAGE, code=6), "router": _NO_IMAGE}  # the Images API sends no byte
    ),
    "reused-item-ids": row(*_RESPONSES, states=("completed",) * 2) | row(*_IMAGES, "chat"),
    "steered": row(),
    "retry": row(),
    "repeated-events": row(),
    "reordered-events": row(),
    "constant-numbers": row(),
    "missing-ids": row(),
    "comments": row(),
    "crlf": row(),
    "no-event-lines": row(),
    "byte-chunks": row(),
    "hang": row(),
    "hang-after-event": cut(),
    "disconnect-after-event": cut(),
    "disconnect-after-bytes": {name: replace(gets, anomalies=("unreadable_event",)) for name, gets in cut().items()},
    "moderation-http": row(states=(), outcome="failed", error="rejected by the safety system", code=5, has_final=False),
    "server-error": row(states=(), outcome="failed", error="server had an error", code=5, has_final=False),
    "rate-limit": row(states=(), outcome="failed", error="Please try again in 12s", code=5, has_final=False),
    "http-text": refused("Cannot POST"),
    "http-object": refused("gpt-image-0"),
    "http-detail": refused("Not Found"),
    "http-message": refused("no Route matched"),
    "http-errors": refused("You are being rate limited"),
    "http-problem": refused("did not answer in time"),
}


def faulty(name: str, column: str) -> Order:
    """Return the order with this fault; its value stops the stream before the picture."""
    order, events = COLUMNS[column], BEFORE_THE_END[column]
    values = {
        "huge-event": 1,
        "hang-after-event": events,
        "disconnect-after-event": events,
        "disconnect-after-bytes": sum(map(len, play(order).body[:events])) + 100,
    }
    return replace(order, faults=(f"{name}={values[name]}" if name in values else name,))


def assembled(made: Answer, assembler: Assembler) -> Result:
    for _ in iter_updates(made.body, assembler):
        pass
    assert assembler.result is not None
    return assembler.result


@dataclass(frozen=True, kw_only=True)
class Saved:
    """The files and the output of the command."""

    code: int
    out: str
    err: str
    files: dict[str, dict[str, bytes]]

    def finals(self) -> Iterator[tuple[str, bytes]]:
        for folder, files in self.files.items():
            yield from ((folder, data) for name, data in files.items() if name.startswith("final."))


def save(made: Answer, folder: Path, *more: str) -> Saved:
    """Run `imgassemble save` on the body."""
    source, target, out, err = folder / "body", folder / "out", StringIO(), StringIO()
    source.write_bytes(b"".join(made.body))
    with redirect_stdout(out), redirect_stderr(err):
        code = main(["save", str(source), "-o", str(target), *more])
    folders = {each.name: {file.name: file.read_bytes() for file in each.iterdir()} for each in target.iterdir()}
    return Saved(code=code, out=out.getvalue(), err=err.getvalue(), files=folders)


@cache
def sent(name: str, column: str) -> Answer:
    """Return the answer with this fault."""
    return play(faulty(name, column))


@cache
def saved_of(name: str, column: str) -> Saved:
    """Return the result of the command for it."""
    with TemporaryDirectory() as folder:
        return save(sent(name, column), Path(folder))


every_fault = pytest.mark.parametrize("name", list(FAULTS))
every_column = pytest.mark.parametrize("column", list(COLUMNS))


def test_every_fault_is_in_the_table_for_every_service() -> None:
    assert list(TABLE) == list(FAULTS)
    assert all(set(columns) == set(COLUMNS) for columns in TABLE.values())


@every_column
def test_without_a_fault_the_result_is_complete(column: str) -> None:
    result = assembled(play(COLUMNS[column]), Assembler())
    (item,), (shot,) = result.items.values(), pictures_of(COLUMNS[column])
    assert item.final is not None
    assert (item.final.data, item.is_provisional, item.anomalies) == (shot.result, False, ())
    assert tuple(frame.index for frame in item.partials) == _SOUND[column].partials


@every_fault
@every_column
def test_the_library_gives_the_expected_result_of_a_fault(name: str, column: str) -> None:
    gets, assembler = TABLE[name][column], Assembler()
    result = assembled(sent(name, column), assembler)
    items = tuple(result.items.values())
    assert tuple(str(item.state) for item in items) == gets.states
    assert str(result.outcome) == gets.outcome
    assert [item.final is not None and not item.is_provisional for item in items] == [gets.has_final] * len(items)
    assert [tuple(frame.index for frame in item.partials) for item in items] == [gets.partials] * len(items)
    told = [anomaly.code for item in items for anomaly in item.anomalies]
    assert (*told, *(anomaly.code for anomaly in assembler.anomalies)) == gets.anomalies


@every_fault
@every_column
def test_the_error_of_a_fault_has_the_expected_words(name: str, column: str) -> None:
    error, expected = assembled(sent(name, column), Assembler()).error, TABLE[name][column].error
    assert (error is None) == (expected is None)
    assert expected is None or expected in str(error)


@every_fault
@every_column
def test_the_command_leaves_the_expected_files_of_a_fault(name: str, column: str) -> None:
    gets, order = TABLE[name][column], faulty(name, column)
    saved = saved_of(name, column)
    assert saved.code == gets.code
    assert "Traceback" not in saved.err
    files = {"item.json", *(f"partial-{at:03d}.png" for at in gets.partials), *(["final.png"] * gets.has_final)}
    if name == "cut-picture":
        files.add("rejected-000.png")
    assert [set(found) for found in saved.files.values()] == [files] * len(gets.states)
    shots = pictures_of(order) * len(gets.states)
    assert [data for _, data in saved.finals()] == [shot.result for shot in shots] * gets.has_final
    assert len(saved.out.splitlines()) == len(list(saved.finals()))
    for files_of_item in saved.files.values():
        partials = [files_of_item[f"partial-{at:03d}.png"] for at in gets.partials]
        assert partials == list(shots[0].partials[: len(partials)])


@every_fault
@every_column
def test_item_json_names_the_file_of_the_final(name: str, column: str) -> None:
    gets = TABLE[name][column]
    is_provisional = gets.outcome == "completed" and not gets.has_final
    last = f"partial-{gets.partials[-1]:03d}.png" if is_provisional else None
    for files in saved_of(name, column).files.values():
        facts = json.loads(files["item.json"])
        assert facts["is_provisional"] == is_provisional
        assert (facts["final"] or {"file": None})["file"] == ("final.png" if gets.has_final else last)


@every_fault
@every_column
def test_the_command_prints_the_error_of_a_fault(name: str, column: str) -> None:
    gets, saved = TABLE[name][column], saved_of(name, column)
    assert gets.error is None or gets.error in saved.err
    assert saved.err.count("problem: ") == len(gets.anomalies)
    assert not re.search("[A-Za-z0-9+/]{121,}", saved.err)


# ---- any faults together


def asked(name: str) -> st.SearchStrategy[str]:
    value = FAULTS[name].value
    if value is None:
        return st.just(name)
    largest = {"huge-event": 1, "disconnect-after-bytes": 30_000}.get(name, min(value.largest, 30))
    return st.integers(value.smallest, largest).map(lambda number: f"{name}={number}")


PAIRS = st.lists(st.sampled_from(list(FAULTS)), min_size=2, max_size=2, unique=True).flatmap(
    lambda names: st.tuples(*map(asked, names))
)
ORDERS = st.builds(
    Order,
    api=st.sampled_from(["responses", "images", "edits", "router-images", "chat"]),
    dialect=st.sampled_from(list(DIALECTS)),
    size=st.just((64, 48)),
    partials=st.integers(0, 3),
    items=st.integers(1, 2),
    seed=st.integers(0, 2),
    faults=PAIRS,
    is_streamed=st.booleans(),
    is_portable=st.just(True),
)
CODES = {0, 3, 4, 5, 6}  # the documented ones, without wrong use, storage and interruption


@settings(max_examples=60)
@given(ORDERS, st.sampled_from(["item_id", "output_index"]))
@example(replace(_ORDER, faults=("huge-event=1", "byte-chunks")), "item_id")
@example(replace(_ORDER, faults=("no-final", "cut-base64")), "item_id")
def test_faults_together_leave_no_draft_as_a_final_and_a_documented_code(order: Order, key_by: str) -> None:
    results = {shot.result for shot in pictures_of(order)}
    with TemporaryDirectory() as folder:
        saved = save(play(order), Path(folder), "--key-by", key_by)
    assert saved.code in CODES
    assert "Traceback" not in saved.err
    assert {data for _, data in saved.finals()} <= results
    assert saved.code != 0 or len(list(saved.finals())) == len(saved.files)


@settings(max_examples=60)
@given(ORDERS, st.booleans())
def test_faults_together_raise_nothing_but_the_librarys_own_errors_and_end(order: Order, strict: bool) -> None:
    made, assembler = play(order), Assembler(strict=strict)
    try:
        result = assembled(made, assembler)
    except ImgassembleError:
        assert strict
        return
    results = {shot.result for shot in pictures_of(order)}
    finals = {item.final.data for item in result.items.values() if item.final and not item.is_provisional}
    assert finals <= results
    assert (result.error is None) == (result.outcome is Outcome.COMPLETED)


@settings(max_examples=30)
@given(ORDERS)
def test_faults_together_give_the_same_whole_and_in_pieces(order: Order) -> None:
    made, pieces, whole = play(order), Assembler(), Assembler()
    assert list(iter_updates(made.body, pieces)) == list(iter_updates([b"".join(made.body)], whole))
