"""The commands `imgassemble animate` and `imgassemble sheet`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
import samples
from PIL import Image

from cli.running import CODES, FINAL, WHOLE, run, stream_file
from imgassemble import DirectorySink, assemble
from imgassemble.cli.main import main
from imgassemble.film import save_sheet

FIXTURES = Path(__file__).parents[2] / "fixtures"
STREAM = str(FIXTURES / "openai-2025-06-jpeg.sse")
COMMANDS = [("animate", "otter.webp"), ("sheet", "otter.png")]


@pytest.mark.parametrize(("command", "name"), COMMANDS)
def test_a_stream_a_saved_folder_and_standard_input_give_the_same_file(command: str, name: str, tmp_path: Path) -> None:
    save_at(tmp_path / "saved", [0, 0, 0])
    files = []
    for at, source in enumerate((STREAM, str(tmp_path / "saved"), "-")):
        path = tmp_path / f"{at}-{name}"
        with open(STREAM, "rb") as stream:
            ended = run(command, source, "-o", path, stdin=stream)
        assert (ended.returncode, ended.stdout) == (0, f"{path}\n")
        files.append(path.read_bytes())
    assert files[0] == files[1]
    assert files[0] == files[2] or command == "sheet"  # a slow machine gives captions with seconds


def save_at(folder: Path, seconds: list[float]) -> None:
    """Save STREAM as if its pictures had arrived at these seconds."""
    times = iter(seconds)
    start = datetime(2026, 11, 26, tzinfo=UTC)
    assemble(Path(STREAM), sinks=[DirectorySink(folder, clock=lambda: start + timedelta(seconds=next(times)))])


def test_the_captions_of_a_sheet_have_the_seconds_of_a_saved_folder(tmp_path: Path) -> None:
    save_at(tmp_path / "saved", [10, 12.5, 14.25])
    assert main(["sheet", str(tmp_path / "saved"), "-o", str(tmp_path / "sheet.png")]) == 0
    result = assemble(Path(STREAM))
    (item,) = result.items.values()
    frames = [*item.partials, result.require_final()]
    save_sheet(result, tmp_path / "expected.png", seconds=dict(zip(frames, [0, 2.5, 4.25], strict=True)))
    assert (tmp_path / "sheet.png").read_bytes() == (tmp_path / "expected.png").read_bytes()


def test_a_film_is_an_animation_of_the_size_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "otter.webp"
    assert main(["animate", STREAM, "-o", str(path), "--size", "48", "--preview-s", "0.3", "--final-s", "2"]) == 0
    image = Image.open(BytesIO(path.read_bytes()))
    assert (max(image.size), image.format) == (48, "WEBP")
    assert image.n_frames == 4  # type: ignore[attr-defined]  # the last preview equals the final


@pytest.mark.parametrize(("command", "name"), COMMANDS)
def test_an_existing_file_is_refused_unless_it_may_be_overwritten(
    command: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(b"mine")
    assert main([command, STREAM, "-o", str(path)]) == 7
    assert "exists already: choose another name, or replace it" in capsys.readouterr().err
    assert path.read_bytes() == b"mine"
    assert main([command, STREAM, "-o", str(path), "--overwrite"]) == 0
    assert path.read_bytes() != b"mine"


@pytest.mark.parametrize(("command", "name"), COMMANDS)
@pytest.mark.parametrize(
    "what", ["every final", "a provisional final", "a refusal", "a failure", "a final and a failure", "HTML", "nothing"]
)
def test_the_exit_code_tells_how_the_stream_ended(
    what: str, command: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, body = CODES[what]
    assert main([command, str(stream_file(tmp_path, body)), "-o", str(tmp_path / name)]) == code
    out, err = capsys.readouterr()
    written = [path for path in tmp_path.iterdir() if path.suffix != ".sse"]
    assert sorted(out.splitlines()) == sorted(map(str, written))
    assert bool(written) == ("final" in what)
    assert written or "nothing is written" in err


@pytest.mark.parametrize(("command", "name"), COMMANDS)
def test_the_previews_of_a_blocked_image_are_shown_neither_from_a_stream_nor_from_its_folder(
    command: str, name: str, tmp_path: Path
) -> None:
    blocked = str(FIXTURES / "moderation-after-previews.sse")
    assert main(["save", blocked, "-o", str(tmp_path / "saved")]) == 5
    for source in (blocked, str(tmp_path / "saved")):
        assert main([command, source, "-o", str(tmp_path / name)]) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["animate", "missing.sse", "-o", "otter.webm"], "the name of a film ends in .webp"),
        (["animate", STREAM, "-o", "otter.webp", "--size", "9999"], "size is a number of pixels from 1 to 4,096"),
        (["sheet", STREAM, "-o", "sheet.gif"], "the name of a sheet ends in .png"),
        (["sheet", "missing.sse", "-o", "sheet.png"], "cannot read 'missing.sse'"),
    ],
)
def test_wrong_use_says_what_works_and_writes_nothing(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_damaged_final_is_reported_and_the_other_films_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = bytearray(samples.png(8, 8))
    damaged[damaged.index(b"IDAT") + 8] ^= 0xFF
    stream = stream_file(tmp_path, [*WHOLE, samples.done("ig_2", bytes(damaged)), samples.done("ig_3", FINAL)])
    assert main(["animate", str(stream), "-o", str(tmp_path / "otter")]) == 6
    out, err = capsys.readouterr()
    assert [Path(line).name for line in out.splitlines()] == ["otter-1.webp", "otter-3.webp"]
    assert "cannot be decoded" in err


def test_the_help_lists_the_exit_codes_and_the_formats(capsys: pytest.CaptureFixture[str]) -> None:
    for command, formats in (("animate", [".webp", ".avif", ".gif", ".mp4"]), ("sheet", [".png", ".jpg"])):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        out = capsys.readouterr().out
        assert re.search(r"^ +7 +storage", out, re.MULTILINE)
        assert all(form in out for form in formats)
