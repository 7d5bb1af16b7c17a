"""Options that several commands share: sizes, counts, bytes, and one option for each limit."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

import pytest
import samples

from cli.running import FINAL, WHOLE, stream_file
from imgassemble import Limits
from imgassemble.cli.main import main
from imgassemble.cli.options import LIMITS, add_options, byte_count, image_size, limits_from, whole_number


def limits_of(*arguments: str) -> Limits:
    parser = argparse.ArgumentParser()
    add_options(parser, LIMITS)
    return limits_from(parser.parse_args(arguments))


def test_without_an_option_the_limits_are_the_usual_ones() -> None:
    assert limits_of() == Limits()


@pytest.mark.parametrize("name", [field.name for field in fields(Limits) if field.name != "formats"])
def test_each_limit_has_an_option(name: str) -> None:
    assert getattr(limits_of(f"--{name.replace('_', '-')}", "12"), name) == 12


def test_the_formats_are_separated_by_commas() -> None:
    assert limits_of("--formats", "PNG, jpeg").formats == ("PNG", "JPEG")


@pytest.mark.parametrize("command", ["save", "watch", "inspect", "view"])
def test_the_help_of_each_command_that_reads_lists_the_limits(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    printed = capsys.readouterr().out
    for field in fields(Limits):
        assert f"--{field.name.replace('_', '-')}" in printed


@pytest.mark.parametrize("command", ["save", "watch", "inspect"])
def test_a_picture_above_a_limit_is_not_used(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stream = stream_file(tmp_path, [samples.done(content=FINAL)])
    for max_bytes, code in ((len(FINAL), 0), (len(FINAL) - 1, 6)):
        output = ["-o", str(tmp_path / str(code))] if command == "save" else []
        assert main([command, str(stream), *output, "--max-frame-bytes", str(max_bytes)]) == code
    assert "max_frame_bytes" in "".join(capsys.readouterr())


@pytest.mark.parametrize("command", ["save", "watch", "inspect"])
def test_a_message_above_the_limit_is_skipped(command: str, tmp_path: Path) -> None:
    output = ["-o", str(tmp_path / "out")] if command == "save" else []
    assert main([command, str(stream_file(tmp_path, WHOLE)), *output, "--max-event-bytes", "10"]) == 6


@pytest.mark.parametrize(
    ("text", "n_bytes"), [("1", 1), ("268435456", 2**28), ("256MiB", 2**28), ("2 kb", 2_000), ("1GB", 10**9)]
)
def test_a_number_of_bytes_may_have_a_unit(text: str, n_bytes: int) -> None:
    assert byte_count(text) == n_bytes


@pytest.mark.parametrize("text", ["", "0", "0MiB", "-1", "1.5MiB", "MiB", "1 bit", "1MiBs", "²", "9" * 5_000])
def test_other_text_is_no_number_of_bytes(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="a number of bytes is"):
        byte_count(text)


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "x", "²"])
def test_a_count_is_a_whole_number_from_1(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="a count is a whole number from 1"):
        whole_number(text)


@pytest.mark.parametrize("text", ["", "x", "1024", "0x9", "9x0", "-1x5", "1x2x3"])
def test_a_size_has_two_sides_of_at_least_1_pixel(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="a size is WIDTHxHEIGHT"):
        image_size(text)


@pytest.mark.parametrize("arguments", [["--formats", "TIFF"], ["--max-frame-pixels", "999999999999"]])
def test_a_limit_out_of_its_range_is_wrong_use_that_names_the_option(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(stream_file(tmp_path, WHOLE)), *arguments]) == 2
    assert arguments[0] in capsys.readouterr().err
