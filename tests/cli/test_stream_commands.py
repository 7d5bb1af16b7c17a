"""The command: what it writes, tells and answers, run as a user runs it."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, get_args

import pytest
import samples

import imgassemble
from imgassemble.cli.main import main
from imgassemble.screens.graphics import Graphics

FINAL = samples.png(5, 4)
JPEG = samples.picture("JPEG")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

WHOLE = [
    samples.created(seq=0),
    samples.call("generating", seq=3),
    samples.partial(index=0, seq=4),
    samples.partial(index=1, seq=5),
    samples.done(content=FINAL, seq=6),
    samples.snapshot("completed", [samples.member(content=FINAL)], seq=7),
]
PROVISIONAL = [samples.partial(), samples.call("completed")]
PARTIALS_ONLY = [samples.partial()]
REFUSAL = [samples.created(), samples.snapshot("completed", [{"type": "message", "content": []}])]
FAILED = [
    samples.added(),
    samples.error("server_error", "it broke"),
    samples.snapshot("failed", error={"code": "server_error"}),
]
BAD_PICTURE = [samples.partial(content="..."), samples.snapshot("completed")]


def _environment(**more: str) -> dict[str, str]:
    left_out = ("NO_COLOR", "FORCE_COLOR", "PYTHONUNBUFFERED", "COLUMNS", "PYTHONIOENCODING")
    return {name: value for name, value in os.environ.items() if name not in left_out} | more


def _command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "imgassemble", *map(str, arguments)]


def _run(
    *arguments: str | Path, env: dict[str, str] | None = None, encoding: str = "utf-8", **options: Any
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(*arguments),
        capture_output=True,
        env=env or _environment(),
        encoding=encoding,
        check=False,
        **options,
    )


def _stream(folder: Path, events: Sequence[samples.Wire] | bytes, name: str = "stream.sse") -> Path:
    path = folder / name
    path.write_bytes(events if isinstance(events, bytes) else samples.sse(events))
    return path


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _pictures(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in _files(folder).items() if not name.endswith("item.json")}


# ---- exit codes

_CODES: dict[str, tuple[int, bytes]] = {
    "every final": (0, samples.sse(WHOLE)),
    "an Images API answer": (0, samples.sse([samples.image_completed(FINAL)])),
    "a provisional final": (3, samples.sse(PROVISIONAL)),
    "partials only": (3, samples.sse(PARTIALS_ONLY)),
    "incomplete": (3, samples.sse([samples.partial(), samples.snapshot("incomplete", reason="content_filter")])),
    "a final and an incomplete one": (3, samples.sse([samples.done(content=FINAL), samples.partial("ig_2")])),
    "a final and a bad picture": (
        3,
        samples.sse([samples.done(content=FINAL), *BAD_PICTURE[:1], samples.partial("ig_2")]),
    ),
    "a refusal": (4, samples.sse(REFUSAL)),
    "another kind of stream": (4, samples.sse([{"type": "message_start"}, {"type": "ping"}])),
    "a failure": (5, samples.sse(FAILED)),
    "a failure without an item": (5, samples.sse([samples.error()])),
    "a final and a failure": (5, samples.sse([samples.done(content=FINAL), samples.done("ig_2", status="failed")])),
    "a failure and an incomplete one": (5, samples.sse([samples.partial(), samples.done("ig_2", status="failed")])),
    "an answer that says only error": (5, b'{"error": {"message": "no", "code": "x"}}'),
    "nothing": (6, b""),
    "white space": (6, b" \n\n"),
    "a byte order mark": (6, b"\xef\xbb\xbf"),
    "HTML": (6, b"<!DOCTYPE html>\n<html>502</html>\n"),
    "a picture": (6, FINAL),
    "broken JSON": (6, b'{"type": "response.completed", "response": {'),
    "broken events": (6, b"data: {\n\ndata: [\n\n"),
    "bad pictures": (6, samples.sse(BAD_PICTURE)),
    "bad pictures and a failure": (6, samples.sse([*BAD_PICTURE[:1], samples.error()])),
    "a picture cut short": (6, samples.sse([samples.done(content=FINAL[:-1])])),
    "pictures of no item": (6, samples.sse([samples.partial(None), samples.done(None, FINAL)])),
    "words of no item": (
        4,
        samples.sse([samples.call("generating", None), samples.done(None), samples.partial(None, content="")]),
    ),
    "a picture of no item and a final": (0, samples.sse([samples.partial(None), samples.done(content=FINAL)])),
}


@pytest.mark.parametrize("name", sorted(_CODES))
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_the_exit_code_tells_how_it_went(
    name: str, more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, body = _CODES[name]
    assert main(["save", str(_stream(tmp_path, body)), "-o", str(tmp_path / "out"), *more]) == code
    assert main(["inspect", str(tmp_path / "stream.sse"), *more]) == code
    assert more or main(["watch", str(tmp_path / "stream.sse")]) == code
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["every final", "partials only", "a refusal", "a failure", "HTML"])
def test_the_process_ends_with_that_code(name: str, tmp_path: Path) -> None:
    code, body = _CODES[name]
    ended = _run("save", _stream(tmp_path, body), "-o", tmp_path / "out")
    assert ended.returncode == code
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("events", [WHOLE, FAILED, BAD_PICTURE, PARTIALS_ONLY])
def test_storage_comes_before_all_other_codes(events: list[samples.Wire], tmp_path: Path) -> None:
    (tmp_path / "ig_1").write_bytes(b"mine")
    assert main(["save", str(_stream(tmp_path, events)), "-o", str(tmp_path)]) == 7
    assert (tmp_path / "ig_1").read_bytes() == b"mine"


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["save"], ["save", "x"], ["save", "-o", "out"], ["inspect"], ["unheard-of"], ["save", "x", "-o"],
        ["--wrong"], ["save", "x", "-o", "out", "--keep", "none"], ["inspect", "x", "--key-by", "name"],
        ["inspect", "x", "y"],
        ["inspect", "x", "--tee", "y"], ["watch"], ["watch", "x", "--json"], ["watch", "x", "-o", "out"],
        ["watch", "x", "--graphics", "sixel"], ["watch", "x", "--size", "1024"], ["watch", "x", "--size", "0x9"],
    ],
)  # fmt: skip
def test_wrong_use_is_told_with_the_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: imgassemble")


@pytest.mark.parametrize("source", ["missing.sse", "folder", "missing/x"])
@pytest.mark.parametrize("command", ["save", "inspect", "watch"])
def test_a_source_that_is_not_there_is_wrong_use_and_makes_nothing(command: str, source: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    ended = _run(command, source, *(["-o", "out", "--tee", "tee"] if command == "save" else []), cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"imgassemble: cannot read '{source}': ")
    assert len(ended.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a file that opens and cannot be read")
@pytest.mark.parametrize("command", ["save", "inspect", "watch"])
def test_a_source_that_cannot_be_read_is_told_in_one_line(command: str, tmp_path: Path) -> None:
    ended = _run(command, "/proc/self/mem", *(["-o", str(tmp_path / "out")] if command == "save" else []))
    assert ended.returncode in (2, 6)
    assert "Traceback" not in ended.stderr
    assert "Input/output error" in ended.stderr


@pytest.mark.parametrize("command", ["save", "inspect", "watch"])
def test_a_closed_standard_input_is_wrong_use(command: str, tmp_path: Path) -> None:
    more = f"-o {tmp_path / 'out'}" if command == "save" else ""
    line = f"{sys.executable} -m imgassemble {command} - {more} <&-"
    ended = subprocess.run(["sh", "-c", line], capture_output=True, env=_environment(), text=True, check=False)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr


# ---- save


def test_save_writes_frames_and_facts_and_prints_the_finals(tmp_path: Path) -> None:
    ended = _run("save", _stream(tmp_path, WHOLE), "-o", "out", cwd=tmp_path)
    assert _pictures(tmp_path / "out") == {
        "ig_1/partial-000.png": samples.shade(0),
        "ig_1/partial-001.png": samples.shade(1),
        "ig_1/final.png": FINAL,
    }
    assert json.loads((tmp_path / "out" / "ig_1" / "item.json").read_text())["state"] == "completed"
    assert ended.stdout == "out/ig_1/final.png\n"
    assert ended.returncode == 0


def test_a_line_for_each_event_of_interest_is_told_on_standard_error(tmp_path: Path) -> None:
    told = _run("save", _stream(tmp_path, WHOLE), "-o", tmp_path / "out").stderr.splitlines()
    assert [re.sub(r"^ *\d+\.\d\d s  ", "", line) for line in told] == [
        "ig_1  generating",
        f"ig_1  preview 0  PNG 1x1, {len(samples.shade(0))} bytes",
        f"ig_1  preview 1  PNG 1x1, {len(samples.shade(1))} bytes",
        f"ig_1  final  PNG 5x4, {len(FINAL)} bytes",
        "completed",
    ]


def test_without_a_result_no_final_is_written_or_printed(tmp_path: Path) -> None:
    ended = _run("save", _stream(tmp_path, PROVISIONAL), "-o", tmp_path / "out")
    assert ended.stdout == ""
    assert "the last preview stands in" in ended.stderr
    assert list(_pictures(tmp_path / "out")) == ["ig_1/partial-000.png"]


def test_the_failure_is_told_with_the_services_words(tmp_path: Path) -> None:
    events = [
        samples.added(),
        samples.error("insufficient_quota", "You exceeded your quota"),
        samples.snapshot("failed"),
    ]
    ended = _run("save", _stream(tmp_path, events), "-o", tmp_path / "out")
    assert ended.returncode == 5
    assert "insufficient_quota" in ended.stderr
    assert "You exceeded your quota" in ended.stderr


def test_keep_latest_leaves_one_preview(tmp_path: Path) -> None:
    assert main(["save", str(_stream(tmp_path, WHOLE)), "-o", str(tmp_path / "out"), "--keep", "latest"]) == 0
    assert sorted(_pictures(tmp_path / "out")) == ["ig_1/final.png", "ig_1/partial-001.png"]


def test_rotating_ids_are_joined_on_request(tmp_path: Path) -> None:
    rotating = [
        {**event, "item_id": f"id_{at}"} for at, event in enumerate([samples.partial(), samples.call("completed")])
    ]
    events = [*rotating, samples.done("id_9", FINAL)]
    stream = str(_stream(tmp_path, events))
    assert main(["save", stream, "-o", str(tmp_path / "apart")]) == 3
    assert main(["save", stream, "-o", str(tmp_path / "joined"), "--key-by", "output_index"]) == 0
    assert sorted(_pictures(tmp_path / "joined")) == ["output-0/final.png", "output-0/partial-000.png"]
    assert main(["inspect", stream, "--key-by", "output_index"]) == 0


def test_nothing_that_stands_there_is_overwritten_unless_asked(tmp_path: Path) -> None:
    stream = _stream(tmp_path, WHOLE)
    out = tmp_path / "out"
    assert main(["save", str(stream), "-o", str(out)]) == 0
    before = _files(out)
    other = _stream(tmp_path, [samples.done(content=JPEG)], "other.sse")
    ended = _run("save", other, "-o", out)
    assert ended.returncode == 7
    assert "is in the way" in ended.stderr
    assert _files(out) == before
    assert ended.stdout == ""
    assert main(["save", str(other), "-o", str(out), "--overwrite"]) == 0
    assert _pictures(out) == {"ig_1/final.jpg": JPEG}


def test_an_output_that_is_a_file_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"mine")
    ended = _run("save", _stream(tmp_path, WHOLE), "-o", tmp_path / "out")
    assert ended.returncode == 7
    assert str(tmp_path / "out") in ended.stderr
    assert "Traceback" not in ended.stderr
    assert (tmp_path / "out").read_bytes() == b"mine"


@pytest.mark.parametrize("command", [["save", "-o", "out"], ["inspect"], ["watch"]])
def test_a_stream_is_read_without_the_simulator(command: list[str], tmp_path: Path) -> None:
    stream = _stream(tmp_path, WHOLE)
    program = (
        "import sys; from imgassemble.cli.main import main; code = main(sys.argv[1:]);"
        "sys.exit(code or sorted(name for name in sys.modules if name.startswith('imgassemble.simulator')) or 0)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, *command, stream],
        capture_output=True,
        env=_environment(),
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


# ---- tee


@pytest.mark.parametrize(
    "body", [samples.sse(WHOLE), samples.sse(WHOLE).replace(b"\n", b"\r\n") + b"\0\xff", b"", b"<html>"]
)
def test_tee_keeps_the_stream_byte_for_byte(body: bytes, tmp_path: Path) -> None:
    tee = tmp_path / "tee"
    with _stream(tmp_path, body).open("rb") as stdin:
        _run("save", "-", "-o", tmp_path / "out", "--tee", tee, stdin=stdin)
    assert tee.read_bytes() == body


@pytest.mark.parametrize("kind", ["file", "link", "link to nowhere", "folder"])
def test_tee_overwrites_nothing_and_the_pictures_are_saved_all_the_same(kind: str, tmp_path: Path) -> None:
    tee, other = tmp_path / "tee", tmp_path / "other"
    other.write_bytes(b"mine")
    make: dict[str, Callable[[], object]] = {
        "file": lambda: tee.write_bytes(b"mine"),
        "link": lambda: tee.symlink_to(other),
        "link to nowhere": lambda: tee.symlink_to(tmp_path / "nowhere"),
        "folder": tee.mkdir,
    }
    make[kind]()
    ended = _run("save", _stream(tmp_path, WHOLE), "-o", tmp_path / "out", "--tee", tee)
    assert ended.returncode == 7
    assert ended.stderr.startswith(f"imgassemble: cannot write '{tee}': ")
    assert (tmp_path / "out" / "ig_1" / "final.png").read_bytes() == FINAL
    assert other.read_bytes() == b"mine"
    assert not (tmp_path / "nowhere").exists()
    assert kind != "file" or tee.read_bytes() == b"mine"


def _no_large_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, resource.RLIM_INFINITY))


@pytest.mark.parametrize("more", [[], ["--resume"]])
@pytest.mark.parametrize("is_piped", [False, True])
@pytest.mark.parametrize("kind", ["the file", "a hard link", "a link"])
def test_a_stream_is_never_copied_into_itself(kind: str, is_piped: bool, more: list[str], tmp_path: Path) -> None:
    stream = _stream(tmp_path, WHOLE)
    tee = stream if kind == "the file" else tmp_path / "tee"
    if kind == "a hard link":
        tee.hardlink_to(stream)
    elif kind == "a link":
        tee.symlink_to(stream)
    with stream.open("rb") as stdin:
        ended = _run(
            *("save", "-" if is_piped else stream, "-o", tmp_path / "out", "--tee", tee, *more),
            stdin=stdin if is_piped else None,
            preexec_fn=_no_large_files,
        )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"imgassemble: --tee '{tee}' is SOURCE itself: leave it out, or name another file\n"
    assert stream.read_bytes() == samples.sse(WHOLE)
    assert not (tmp_path / "out").exists()


def test_tee_may_lie_in_the_output(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["save", str(_stream(tmp_path, WHOLE)), "-o", str(out), "--tee", str(out / "raw.sse")]) == 0
    assert (out / "raw.sse").read_bytes() == samples.sse(WHOLE)


def test_a_tee_that_the_disk_cuts_short_is_a_storage_error(tmp_path: Path) -> None:
    body = samples.sse(WHOLE) + b": keep-alive\n\n" * 2_000
    ended = _run(
        "save", _stream(tmp_path, body), "-o", tmp_path / "out", "--tee", tmp_path / "tee", preexec_fn=_no_large_files
    )
    assert ended.returncode == 7
    assert f"cannot write '{tmp_path / 'tee'}'" in ended.stderr
    assert (tmp_path / "out" / "ig_1" / "final.png").read_bytes() == FINAL


class _BreaksOff(io.BytesIO):
    """A file that cannot be read to its end."""

    def read1(self, size: int | None = -1, /) -> bytes:
        if chunk := super().read1(size):
            return chunk
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize("is_tee", [False, True])
def test_a_source_that_breaks_off_is_told_with_a_tee_and_without(
    is_tee: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    body, tee = samples.sse(WHOLE[:4]), tmp_path / "tee"
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=_BreaksOff(body)))
    assert main(["save", "-", "-o", str(tmp_path / "out"), *(["--tee", str(tee)] if is_tee else [])]) == 3
    assert capsys.readouterr().err.count("reading the stream failed: Input/output error") == 1
    assert not is_tee or tee.read_bytes() == body
    assert list(_pictures(tmp_path / "out")) == ["ig_1/partial-000.png", "ig_1/partial-001.png"]


# ---- JSON


def test_json_tells_every_update_as_a_line_without_base64(tmp_path: Path) -> None:
    ended = _run("save", _stream(tmp_path, WHOLE), "-o", tmp_path / "out", "--json")
    told = [json.loads(line) for line in ended.stdout.splitlines()]
    assembler = imgassemble.Assembler()
    updates = [update for event in WHOLE for update in assembler.feed(event)] + list(assembler.close())
    assert told == [json.loads(json.dumps(update.as_dict())) for update in updates]
    assert told[-1] == {"update": "StreamEnded", "outcome": "completed", "error": None}
    assert samples.b64(FINAL)[:20] not in ended.stdout
    assert ended.stderr == ""


@pytest.mark.parametrize("name", ["a failure", "bad pictures", "partials only", "HTML", "a refusal"])
def test_json_lines_are_json_whatever_came(name: str, tmp_path: Path) -> None:
    for command in (["save", "-o", str(tmp_path / "out")], ["inspect"]):
        ended = _run(*command, _stream(tmp_path, _CODES[name][1]), "--json")
        for line in ended.stdout.splitlines():
            assert isinstance(json.loads(line), dict)
        assert ended.stdout.isascii()


def test_inspect_json_tells_every_image_with_its_facts_and_times(tmp_path: Path) -> None:
    events = [*WHOLE[:5], samples.partial("ig_2", 0, JPEG)]
    ended = _run("inspect", _stream(tmp_path, events), "--json")
    first, second, stream = (json.loads(line) for line in ended.stdout.splitlines())
    assert (stream["outcome"], stream["events"], stream["anomalies"]) == ("incomplete", 6, [])
    assert (first["id"], first["state"], first["final"]["size"]) == ("ig_1", "completed", [5, 4])
    assert set(first["seconds"]) == {"0", "1", "final"}
    assert (second["id"], second["state"], second["final"]) == ("ig_2", "incomplete", None)
    assert [frame["format"] for frame in second["partials"]] == ["JPEG"]
    assert samples.b64(FINAL)[:20] not in ended.stdout


@pytest.mark.parametrize(
    ("events", "facts"),
    [
        (WHOLE, {"outcome": "completed", "error": None, "response_id": "resp_1", "anomalies": []}),
        (
            [*REFUSAL, {"type": "keepalive"}],
            {"outcome": "no_image", "events": 3, "skipped": 1, "response_id": "resp_1"},
        ),
        (b'data: {"x":\n\n', {"outcome": "no_image", "events": 1, "response_id": None}),
    ],
)
def test_inspect_json_ends_with_a_line_for_the_stream(
    events: list[samples.Wire] | bytes, facts: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["inspect", "--json", str(_stream(tmp_path, events))])
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert facts.items() <= last.items()


def test_the_line_for_the_stream_holds_its_anomalies_without_base64(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = _stream(tmp_path, [*WHOLE, samples.partial(None, 0, samples.picture("JPEG"))])
    assert main(["inspect", "--json", str(stream)]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    ((code, message),) = (each.values() for each in last["anomalies"])
    assert (code, "has no item_id" in message, "/9j/" in message) == ("missing_item_id", True, False)


# ---- inspect


def test_inspect_tells_items_states_frames_sizes_timings_and_anomalies(tmp_path: Path) -> None:
    events = [
        *WHOLE[:5],
        samples.partial("ig_2", 3, JPEG),
        samples.partial("ig_2", 4, "!"),
        samples.call("generating", None),
    ]
    ended = _run("inspect", _stream(tmp_path, events))
    text = ended.stdout
    for words in (
        "incomplete", "8 events", "resp_1", "ig_1  completed", "ig_2  incomplete", "partial 0", "partial 3", "PNG 5x4",
        "JPEG 8x6", "anomaly:", "response.output_item.done",
    ):  # fmt: skip
        assert words in text
    assert re.search(r"\d\.\d\d s", text)
    assert ended.stderr == ""
    assert [path.name for path in tmp_path.iterdir()] == ["stream.sse"]


def test_inspect_writes_nothing_and_tells_of_an_empty_stream(tmp_path: Path) -> None:
    ended = _run("inspect", _stream(tmp_path, b""))
    assert ended.returncode == 6
    assert ended.stderr == "imgassemble: the stream is empty\n"


def test_inspect_tells_of_a_failure_its_reason(tmp_path: Path) -> None:
    assert "the service failed (server_error)" in _run("inspect", _stream(tmp_path, FAILED)).stdout


# ---- watch: what is drawn on terminals is in test_screen_terminal.py


def test_watch_tells_every_change_as_a_line_where_there_is_no_terminal(tmp_path: Path) -> None:
    ended = _run("watch", _stream(tmp_path, [*WHOLE, samples.partial("ig_2", "x"), samples.done("ig_2", JPEG)]))
    assert ended.stdout.splitlines() == [
        "ig_1: generating",
        "ig_1: preview 1",
        "ig_1: preview 2",
        "ig_1: final 5x4 PNG",
        "ig_2: preview 1",
        "ig_2: final 8x6 JPEG",
    ]
    anomaly, outcome = (re.sub(r"^ *\d+\.\d\d s  ", "", line) for line in ended.stderr.splitlines())
    assert anomaly.startswith("anomaly: ")
    assert outcome == "completed"
    assert [path.name for path in tmp_path.iterdir()] == ["stream.sse"]


def test_watch_draws_where_it_is_asked_to(tmp_path: Path) -> None:
    ended = _run("watch", _stream(tmp_path, WHOLE), "--graphics", "blocks", "--size", "1536x1024")
    assert "▀" in ended.stdout
    assert "waiting for the first preview" in ended.stdout
    assert "\x1b" not in ended.stderr


def test_watch_joins_rotating_ids_on_request(tmp_path: Path) -> None:
    events = [samples.partial("ig_a"), samples.done("ig_b", FINAL)]
    ended = _run("watch", _stream(tmp_path, events), "--key-by", "output_index")
    assert ended.stdout.splitlines() == ["output-0: preview 1", "output-0: final 5x4 PNG"]


def test_watch_tells_an_item_without_a_name_and_a_stream_without_an_item(tmp_path: Path) -> None:
    assert _run("watch", _stream(tmp_path, REFUSAL)).stdout.startswith("no image")
    assert "failed: the service failed (server_error)" in _run("watch", _stream(tmp_path, FAILED)).stdout


def test_save_with_show_tells_lines_on_standard_error_and_prints_the_finals(tmp_path: Path) -> None:
    ended = _run("save", _stream(tmp_path, WHOLE), "-o", "out", "--show", cwd=tmp_path)
    assert ended.stdout == "out/ig_1/final.png\n"
    *told, outcome = ended.stderr.splitlines()
    assert told == ["ig_1: generating", "ig_1: preview 1", "ig_1: preview 2", "ig_1: final 5x4 PNG"]
    assert outcome.endswith("s  completed")
    assert (tmp_path / "out" / "ig_1" / "final.png").read_bytes() == FINAL


def test_save_with_show_leaves_its_lines_of_json_as_they_are(tmp_path: Path) -> None:
    stream = _stream(tmp_path, WHOLE)
    plain = _run("save", stream, "-o", tmp_path / "one", "--json")
    shown = _run("save", stream, "-o", tmp_path / "two", "--json", "--show", "--graphics", "blocks")
    assert shown.stdout == plain.stdout
    assert "▀" in shown.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
@pytest.mark.parametrize("command", ["watch", "save --show -o out"])
def test_closed_outputs_are_no_trouble_for_pictures(closed: str, command: str, tmp_path: Path) -> None:
    line = f"{sys.executable} -m imgassemble {command} {_stream(tmp_path, WHOLE)} --graphics blocks {closed}"
    ended = subprocess.run(
        ["sh", "-c", line], capture_output=True, env=_environment(), text=True, cwd=tmp_path, check=False
    )
    assert ended.returncode == 0
    assert "Error" not in ended.stderr


# ---- as they come


def _until(lines: IO[str], words: str) -> str:
    for line in lines:
        if words in line:
            return line
    pytest.fail(f"it never said {words!r}")


@pytest.fixture
def saving(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`imgassemble save - -o out`, which waits for its first event."""
    with subprocess.Popen(
        _command("save", "-", "-o", tmp_path / "out"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(),
    ) as process:
        yield process
        process.kill()


def _send(process: subprocess.Popen[str], event: samples.Wire) -> None:
    assert process.stdin
    process.stdin.write(samples.sse([event]).decode())
    process.stdin.flush()


def test_standard_input_is_saved_as_it_comes(saving: subprocess.Popen[str], tmp_path: Path) -> None:
    assert saving.stderr
    assert saving.stdin
    assert saving.stdout
    folder = tmp_path / "out" / "ig_1"
    for event, words, name, data in (
        (samples.partial(index=0), "preview 0", "partial-000.png", samples.shade(0)),
        (samples.partial(index=1), "preview 1", "partial-001.png", samples.shade(1)),
        (samples.done(content=FINAL), "final", "final.png", FINAL),
    ):
        assert not (folder / name).exists()
        _send(saving, event)
        _until(saving.stderr, words)
        assert (folder / name).read_bytes() == data
    saving.stdin.close()
    assert saving.stdout.read() == f"{folder / 'final.png'}\n"
    assert saving.wait() == 0


def test_an_interrupt_keeps_what_came(saving: subprocess.Popen[str], tmp_path: Path) -> None:
    assert saving.stderr
    _send(saving, samples.partial(index=0))
    _until(saving.stderr, "preview 0")
    _send(saving, samples.call("generating", "ig_2"))
    _until(saving.stderr, "ig_2  generating")  # by now the first is on the disk
    saving.send_signal(signal.SIGINT)
    rest = saving.stderr.read()
    assert saving.wait() == 130
    assert rest.endswith("imgassemble: interrupted; everything received so far is kept\n")
    assert "Traceback" not in rest
    assert _pictures(tmp_path / "out") == {"ig_1/partial-000.png": samples.shade(0)}
    facts = json.loads((tmp_path / "out" / "ig_1" / "item.json").read_text())
    assert (facts["state"], facts["final"]) == ("partial_image", None)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.name.startswith(".")]


def test_json_lines_come_as_the_events_do(tmp_path: Path) -> None:
    with subprocess.Popen(
        _command("save", "-", "-o", tmp_path, "--json"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=_environment(),
    ) as process:
        assert process.stdout
        assert process.stdin
        for index in range(3):
            _send(process, samples.partial(index=index))
            _until(process.stdout, '"FrameAdded"')
        process.stdin.close()
        _until(process.stdout, '"StreamEnded"')
    assert process.returncode == 3


# ---- what reads and what does not read on


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_where_nobody_reads_on_the_pictures_are_saved_all_the_same(more: list[str], tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = _stream(tmp_path, WHOLE)
    ended = subprocess.run(
        _command("save", stream, "-o", tmp_path / "out", *more),
        stdout=writing,
        stderr=subprocess.PIPE,
        env=_environment(),
        text=True,
        check=False,
    )
    os.close(writing)
    assert ended.returncode == 0
    assert "Error" not in ended.stderr
    assert (tmp_path / "out" / "ig_1" / "final.png").read_bytes() == FINAL


@pytest.mark.parametrize("command", ["inspect", "watch"])
def test_results_that_nobody_reads_end_without_a_word(command: str, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = _stream(tmp_path, WHOLE)
    ended = subprocess.run(
        _command(command, stream), stdout=writing, stderr=subprocess.PIPE, env=_environment(), text=True, check=False
    )
    os.close(writing)
    assert re.fullmatch(r"( *\d+\.\d\d s  completed\n)?", ended.stderr)
    assert ended.returncode in (0, 130)


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
@pytest.mark.parametrize("more", ["", "--json"])
def test_closed_outputs_are_no_trouble(closed: str, more: str, tmp_path: Path) -> None:
    line = f"{sys.executable} -m imgassemble save {_stream(tmp_path, WHOLE)} -o {tmp_path / 'out'} {more} {closed}"
    ended = subprocess.run(["sh", "-c", line], capture_output=True, env=_environment(), text=True, check=False)
    assert ended.returncode == 0
    assert "Error" not in ended.stderr
    assert (tmp_path / "out" / "ig_1" / "final.png").read_bytes() == FINAL


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
@pytest.mark.parametrize(
    "arguments", [["save", "-o", "out"], ["save", "-o", "out", "--json"], ["inspect"], ["inspect", "--json"], ["watch"]]
)
def test_an_output_that_is_full_is_a_storage_error_told_once(arguments: list[str], tmp_path: Path) -> None:
    stream = _stream(tmp_path, WHOLE)
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            _command(*arguments, stream),
            stdout=full,
            stderr=subprocess.PIPE,
            env=_environment(),
            text=True,
            cwd=tmp_path,
            check=False,
        )
    assert ended.returncode == 7
    assert "Traceback" not in ended.stderr
    assert ended.stderr.count("No space left on device") == 1
    assert "save" not in arguments or (tmp_path / "out" / "ig_1" / "final.png").read_bytes() == FINAL


def _on_a_terminal(arguments: list[str], **more: str) -> str:
    """What the command says where standard error is a terminal."""
    terminal, side = pty.openpty()
    process = subprocess.Popen(_command(*arguments), stdout=subprocess.DEVNULL, stderr=side, env=_environment(**more))
    os.close(side)
    said = b""
    try:
        while piece := os.read(terminal, 4096):
            said += piece
    except OSError:  # the terminal's other side is closed: it has ended
        pass
    os.close(terminal)
    assert process.wait() == 0
    return said.decode()


def test_colours_are_for_terminals_and_no_color_is_honoured(tmp_path: Path) -> None:
    save = ["save", str(_stream(tmp_path, WHOLE)), "--overwrite", "-o", str(tmp_path / "out")]
    coloured = _on_a_terminal(save, TERM="xterm")
    assert _COLOUR.search(coloured)
    plain = _on_a_terminal(save, TERM="xterm", NO_COLOR="1")
    assert "\x1b" not in plain
    assert "\x1b" not in _run(*save).stderr
    assert _COLOUR.search(_on_a_terminal(save, TERM="xterm", NO_COLOR=""))  # no-color.org: when not an empty string


# ---- text from outside

_EVIL = "\x1b[2J\x1b]0;pwned\x07\r\n\u202edrawkcab\u2066\x9b31m\x00"


@pytest.mark.parametrize("command", ["save", "inspect", "watch"])
def test_the_control_characters_of_a_service_are_not_printed(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    streams = {
        "id": [samples.partial("ig" + _EVIL, 0), samples.done("ig" + _EVIL, FINAL, revised_prompt="p" + _EVIL)],
        "error": [samples.added(), samples.error("c" + _EVIL, "m" + _EVIL)],
        "claims": [samples.done(content=FINAL, output_format="x" + _EVIL, size="9x9")],
        "reason": [samples.partial(), samples.snapshot("incomplete", reason="r" + _EVIL)],
        "type": [{"type": "response.image_generation_call.generating", "output_index": 0, "x": _EVIL}],
        "response": [samples.created("resp" + _EVIL), *WHOLE[1:4]],
        "picture": [samples.done(content=_EVIL.encode()), samples.partial(content=b"\0\0\0\x20ftyp" + _EVIL.encode())],
        "status": [samples.added(status="s" + _EVIL), samples.done(status="s" + _EVIL)],
    }
    for name, events in streams.items():
        out = ["-o", str(tmp_path / f"out-{name}")] if command == "save" else []
        main([command, str(_stream(tmp_path, events, f"{name}.sse")), *out])
        for line in "".join(capsys.readouterr()).split("\n"):
            assert line.isprintable(), name


@pytest.mark.parametrize("command", ["save", "inspect", "watch"])
def test_a_body_that_is_no_stream_is_shown_without_its_controls(command: str, tmp_path: Path) -> None:
    out = ["-o", str(tmp_path / "out")] if command == "save" else []
    ended = _run(command, _stream(tmp_path, _EVIL.encode()), *out)
    assert ended.returncode == 6
    assert all(line.isprintable() for line in (ended.stdout + ended.stderr).split("\n"))


def test_names_that_a_terminal_cannot_show_end_nothing(tmp_path: Path) -> None:
    events = [samples.done("猫\ud800", FINAL, revised_prompt="猫 \udc80")]
    for command in (["save", "-o", str(tmp_path / "out")], ["inspect"], ["watch"]):
        ended = _run(
            *command,
            _stream(tmp_path, events),
            env=_environment(PYTHONIOENCODING="ascii", LC_ALL="C"),
            encoding="ascii",
        )
        assert ended.returncode == 0
        assert "Traceback" not in ended.stderr


def test_nothing_is_written_outside_the_output(tmp_path: Path) -> None:
    events = [samples.done(item_id, FINAL) for item_id in ("../../x", "/abs", "..", "a/b")]
    out = tmp_path / "deep" / "out"
    assert main(["save", str(_stream(tmp_path, events)), "-o", str(out)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"stream.sse", "deep"}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]
    assert len(_pictures(out)) == 4


# ---- help


def test_help_names_the_commands_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], ["save", "--help"], ["watch", "--help"], ["inspect", "-h"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
        out, err = capsys.readouterr()
        assert err == ""
        for code in ("7 ", "6 ", "5 ", "4 ", "3 ", "0 ", "2 ", "130 "):
            assert re.search(rf"^ +{code} +\w", out, re.MULTILINE)
        assert all(len(line) <= 120 for line in out.splitlines())


def test_the_help_of_save_tells_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["save", "--help"])
    out = capsys.readouterr().out
    for option in (
        "SOURCE", "-o DIR", "--output DIR", "--keep", "--overwrite", "--tee FILE", "--json", "--show", "--key-by",
    ):  # fmt: skip
        assert option in out
    assert "standard input" in out


def test_every_way_to_show_pictures_can_be_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["watch", "--help"])
    assert "{" + ",".join(get_args(Graphics)) + "}" in capsys.readouterr().out


def test_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"imgassemble {imgassemble.__version__}\n"
