"""Hostile text: it names no file outside, moves no cursor of a terminal, breaks no JSON, and is not changed."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import samples

from hostile.texts import NAUGHTY
from imgassemble import Assembler, DirectorySink, Item, Limits, ProviderError, Update, assemble
from imgassemble.storage.folder_names import folder_name
from imgassemble.storage.saved import saved_events

PICTURE = samples.png(3, 2)


def _said(text: str) -> list[samples.Wire]:
    """Return events with `text` in each place that a service can use."""
    shown: dict[str, Any] = {"revised_prompt": text, "usage": {text: text, "a": [text]}, "size": text}
    return [
        {"type": text},
        samples.created(text),
        samples.added(text, **shown),
        samples.partial(text, output_format=text, **shown),
        samples.partial(text, 1, "%" + text),
        samples.done(text, PICTURE, **shown),
        samples.done("failed " + text, status="failed", error={"code": text, "message": text, text: text}),
        samples.done("link " + text, "https://example.com/" + text),
        samples.snapshot("incomplete", [], reason=text),
        samples.error(text, text),
    ]


def _whole(text: str) -> list[samples.Wire]:
    return [samples.partial(text, revised_prompt=text), samples.done(text, PICTURE)]


def _is_safe(text: str) -> bool:
    """Whether a terminal only prints it: no controls, nothing that turns its direction, no half letters."""
    return not any(
        (unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") and each != "\n")
        or unicodedata.bidirectional(each) in ("RLO", "LRO", "RLE", "LRE", "PDF", "RLI", "LRI", "FSI", "PDI")
        for each in text
    )


# ---- folders


def _below(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*")}


def test_no_name_leads_out_of_the_folder_and_no_two_share_one(tmp_path: Path) -> None:
    outside = tmp_path / "a" / "b"
    outside.mkdir(parents=True)
    events = [event for text in NAUGHTY for event in _whole(text)]
    sink = DirectorySink(outside / "out")
    result = assemble(events, sinks=[sink])
    assert set(result.items) == set(NAUGHTY)
    assert {path.parts[0] for path in _below(tmp_path)} == {"a"}
    assert {path.parts[:2] for path in _below(tmp_path / "a") if len(path.parts) > 1} == {("b", "out")}
    folders = list((outside / "out").iterdir())
    assert len(folders) == len(NAUGHTY)
    # A file system that folds capitals or forms of accents keeps them apart, too.
    assert len({unicodedata.normalize("NFKC", path.name).casefold() for path in folders}) == len(NAUGHTY)
    assert sorted(sink.paths) == sorted(path for path in (outside / "out").rglob("*") if path.is_file())


def test_what_was_written_under_any_name_can_be_read_and_is_as_received(tmp_path: Path) -> None:
    assemble([event for text in NAUGHTY for event in _whole(text)], sinks=[DirectorySink(tmp_path)])
    for text in NAUGHTY:
        folder = tmp_path / folder_name(text)
        assert json.loads((folder / "item.json").read_bytes())["id"] == text
        assert (folder / "final.png").read_bytes() == PICTURE
        assert (folder / "partial-000.png").read_bytes() == samples.shade(0)


def test_what_was_saved_under_any_name_is_gone_on_with(tmp_path: Path) -> None:
    result = assemble([event for text in NAUGHTY for event in _whole(text)], sinks=[DirectorySink(tmp_path)])
    again = assemble(saved_events(tmp_path))
    assert {name: item.final for name, item in again.items.items()} == {
        name: item.final for name, item in result.items.items()
    }


def test_the_name_of_a_folder_is_plain() -> None:
    for text in NAUGHTY:
        name = folder_name(text)
        assert name.isascii()
        assert name.replace("-", "").replace("_", "").replace(".", "").isalnum() or set(name) <= set("_-.")
        assert name == name.lower()
        assert not name.startswith((".", "-"))
        assert len(name) <= 100


def test_an_id_that_is_longer_than_any_is_told_and_names_no_item() -> None:
    assembler = Assembler()
    (anomaly,) = assembler.feed(samples.partial("x" * 5_000, output_index=None))
    assert getattr(anomaly, "code", None) == "missing_item_id"
    assert not assembler.items


# ---- JSON, reprs and log lines


def _all_told(text: str) -> Iterator[Update | Item]:
    assembler = Assembler(limits=Limits(formats=("PNG",), max_frame_bytes=60))
    for event in _said(text):
        yield from assembler.feed(event)
        yield from assembler.feed(json.dumps(event))
    yield from assembler.close()
    yield from assembler.items.values()


@pytest.mark.parametrize("text", NAUGHTY, ids=range(len(NAUGHTY)))
def test_facts_are_json_that_says_the_same_when_it_is_read(text: str) -> None:
    for each in _all_told(text):
        facts = each.as_dict()
        assert json.loads(json.dumps(facts)) == facts
        assert json.dumps(facts, ensure_ascii=True).isprintable()


@pytest.mark.parametrize("text", NAUGHTY, ids=range(len(NAUGHTY)))
def test_reprs_and_sentences_are_one_line_that_can_be_printed(text: str) -> None:
    for each in _all_told(text):
        assert repr(each).isprintable()
        for name in ("error", "message", "reason"):
            said = str(getattr(each, name, None))
            assert _is_safe(said)
            assert "\n" not in said


@pytest.mark.parametrize("text", NAUGHTY, ids=range(len(NAUGHTY)))
def test_a_log_line_can_be_printed(text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / folder_name(text)).write_bytes(b"in the way")
    sink = DirectorySink(tmp_path)
    assembler = Assembler()
    sink.open(assembler)
    with caplog.at_level(logging.DEBUG, logger="imgassemble"):
        for event in _whole(text):
            for update in assembler.feed(event):
                sink(update)
    assert [record.levelname for record in caplog.records].count("WARNING") == 1
    assert all(_is_safe(record.getMessage()) for record in caplog.records)


def test_an_error_of_a_service_says_nothing_that_moves_a_cursor() -> None:
    for text in NAUGHTY:
        error = ProviderError(text, code=text, details={text: text})
        assert _is_safe(str(error))
        assert _is_safe(error.message)


# ---- the command


def _command(tmp_path: Path, *arguments: str) -> tuple[str, str]:
    environment = os.environ | {"PYTHONUTF8": "1", "NO_COLOR": "1"}
    command = [sys.executable, "-W", "error", "-m", "imgassemble", *arguments]
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, env=environment, check=False)
    assert b"Traceback" not in done.stderr
    return done.stdout.decode(), done.stderr.decode()


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a stream with each of them in every possible place, without the words that would end it."""
    path = tmp_path_factory.mktemp("streams") / "naughty.jsonl"
    events = [event for text in NAUGHTY for event in _said(text)[:8]]
    path.write_text("".join(json.dumps(event) + "\n" for event in (*events, *_said(NAUGHTY[-1])[8:])))
    return path


@pytest.mark.parametrize("arguments", [("save", "-o", "out"), ("save", "-o", "out", "--json"), ("inspect",),
                                       ("inspect", "--json")], ids=" ".join)  # fmt: skip
def test_the_command_prints_nothing_that_moves_a_cursor(
    arguments: tuple[str, ...], stream: Path, tmp_path: Path
) -> None:
    output, errors = _command(tmp_path, *arguments, str(stream))
    assert len(output) > 1_000
    assert _is_safe(output)
    assert _is_safe(errors)
    assert {path.parts[0] for path in _below(tmp_path)} <= {"out"}
    if "--json" in arguments:
        assert all(isinstance(json.loads(line), dict) for line in output.splitlines())


@pytest.mark.parametrize("text", [text for text in NAUGHTY if text and "\0" not in text and len(text) < 200][::9])
def test_arguments_are_not_printed_as_they_are(text: str, tmp_path: Path) -> None:
    name = text.encode("utf-8", "surrogateescape" if "\udcff" in text else "surrogatepass").decode("utf-8", "replace")
    output, errors = _command(tmp_path, "inspect", "--", "no" + name)
    assert output == ""
    assert _is_safe(errors)
