"""The simulator: its pictures sharpen, its keys stand as on the wire, the fixtures are its own."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageStat

from imgassemble.simulator import draw, encode, fixtures, scripts, sharpen
from imgassemble.simulator.pictures import Format

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "fixtures"
RECORDINGS = ROOT.parent / "shared" / "recordings"
FORMATS: tuple[Format, ...] = ("PNG", "JPEG", "WEBP")


def _distance(one: Image.Image, other: Image.Image) -> float:
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean)


def _decoded(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


# ---- pictures


@pytest.mark.parametrize("steps", [1, 3, 8])
@pytest.mark.parametrize("size", [(96, 64), (64, 96), (256, 256)])
@pytest.mark.parametrize("seed", range(4))
def test_each_draft_is_closer_to_the_final(steps: int, size: tuple[int, int], seed: int) -> None:
    final = draw("an otter at night", seed=seed, size=size)
    distances = [_distance(draft, final) for draft in sharpen(final, steps, seed=seed)]
    assert distances == sorted(set(distances), reverse=True)
    assert distances[-1] > 0


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (7, 5), (97, 63)])
@pytest.mark.parametrize("prompt", ["the sea", "hills"])
def test_pictures_and_drafts_have_the_size_asked_for(prompt: str, size: tuple[int, int]) -> None:
    final = draw(prompt, size=size)
    assert {image.size for image in [final, *sharpen(final, 3)]} == {size}


def test_prompt_and_seed_make_the_picture() -> None:
    made = [draw(prompt, seed=seed, size=(48, 32)).tobytes() for prompt in ("a", "b") for seed in (0, 1)]
    assert len(set(made)) == 4
    assert draw("a", seed=0, size=(48, 32)).tobytes() == made[0]


@pytest.mark.parametrize("form", FORMATS)
def test_files_have_their_format_and_the_picture_in_them(form: Format) -> None:
    image = draw("a lake", size=(97, 64))
    read = _decoded(encode(image, form))
    assert (read.format, read.size) == (form, image.size)
    assert _distance(read.convert("RGB"), image) < (1e-9 if form == "PNG" else 12)


@pytest.mark.parametrize("size", [(97, 64), (1, 1), (300, 450)])
def test_a_portable_png_shows_the_picture_in_sixteen_colours(size: tuple[int, int]) -> None:
    image = draw("a lake", size=size)
    read = _decoded(encode(image, "PNG", is_portable=True))
    assert (read.mode, read.size) == ("P", size)
    assert len(read.convert("RGB").getcolors() or []) <= 16
    assert _distance(read.convert("RGB"), image) < 30


@pytest.mark.parametrize(("form", "mark"), [("PNG", b"caBX"), ("JPEG", b"\xff\xeb")])
def test_provenance_is_in_the_file_and_lost_when_it_is_encoded_again(form: Format, mark: bytes) -> None:
    data = encode(draw("a lake", size=(48, 32)), form, provenance="made by nobody")
    assert mark in data
    assert b"made by nobody" in data
    again = io.BytesIO()
    _decoded(data).save(again, form)
    assert b"made by nobody" not in again.getvalue()


def test_what_is_out_of_range_is_a_value_error() -> None:
    image = draw("a lake", size=(8, 8))
    with pytest.raises(ValueError, match="pixels a side"):
        draw("a lake", size=(0, 8))
    with pytest.raises(ValueError, match="drafts"):
        sharpen(image, 9)
    with pytest.raises(ValueError, match="WebP"):
        encode(image, "WEBP", provenance="made by nobody")


def test_a_large_picture_is_drawn_in_reasonable_time() -> None:
    start = time.perf_counter()
    draw("the sea", size=(3840, 2160))
    assert time.perf_counter() - start < 20  # half a second as a rule; a loaded machine may take longer


# ---- fixtures


def test_made_again_the_fixtures_have_the_same_bytes(tmp_path: Path) -> None:
    fixtures.write(tmp_path)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_bytes() for path in FOLDER.iterdir()}
    assert sorted(made) == sorted(kept)
    assert [name for name in made if made[name] != kept[name]] == []


def test_every_fixture_is_listed() -> None:
    streams = {path.name for path in FOLDER.iterdir()} - {"expected.json", "README.md"}
    expected = json.loads((FOLDER / "expected.json").read_text())
    rows = (FOLDER / "README.md").read_text().splitlines()
    assert set(expected) == streams
    assert {row.split(" | ")[0].removeprefix("| ") for row in rows if row.startswith("| ")} - {
        "file"
    } == streams


def test_fixtures_stay_small() -> None:
    sizes = [path.stat().st_size for path in FOLDER.iterdir()]
    assert max(sizes) < 60_000
    assert sum(sizes) < 1_000_000


def test_the_spellings_of_base64_are_what_they_say() -> None:
    body = (FOLDER / "base64-spellings.sse").read_text()
    events = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: ")]
    first, second, third = (event["partial_image_b64"] for event in events if "partial_image_b64" in event)
    result = events[-1]["response"]["output"][0]["result"]
    assert first.startswith("data:image/png;base64,")
    assert set("-_") & set(second)
    assert "\r\n" in third
    assert len(result) % 4


# ---- events


def test_numbers_stand_where_they_stood_or_behind_the_type() -> None:
    events: list[scripts.Event] = [{"type": "a", "x": 1}, {"type": "b", "x": 1, "sequence_number": 9}]
    made = scripts.numbered(events, start=3)
    assert [list(event) for event in made] == [
        ["type", "sequence_number", "x"],
        ["type", "x", "sequence_number"],
    ]
    assert [event["sequence_number"] for event in made] == [3, 4]


def test_sse_is_framed_as_asked() -> None:
    events: list[scripts.Event] = [{"type": "a"}]
    assert scripts.sse(events) == b'event: a\ndata: {"type":"a"}\n\n'
    assert scripts.sse(events, event_lines=False, newline="\r\n", comment="hi", done=True) == (
        b': hi\r\n\r\ndata: {"type":"a"}\r\n\r\ndata: [DONE]\r\n\r\n'
    )


def _read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".json":
        return [json.loads(path.read_text(encoding="utf-8"))]
    lines = (line.removeprefix("data: ") for line in path.read_text(encoding="utf-8").splitlines())
    return [json.loads(line) for line in lines if line.startswith("{")]


def _key_orders(value: Any, name: str) -> Iterator[tuple[str, list[str]]]:
    """The keys of each object in `value`, under a name that tells where it stood."""
    if isinstance(value, dict):
        name = f"{name}.{value.get('type', '')}"
        yield name, list(value)
        for key, inner in value.items():
            yield from _key_orders(inner, f"{name}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from _key_orders(inner, name)


@pytest.mark.parametrize(
    ("fixture", "recording"),
    [
        ("openai-2025-06-jpeg.sse", "streams/openai-2025-06-jpeg-two-partials.sse"),
        ("openai-2025-10-png.sse", "streams/openai-2025-10-png-no-completed.sse"),
        ("error-then-failed.sse", "aux/openai-error-then-failed.jsonl"),
        ("whole-response.json", "json/openai-two-images-one-response.json"),
        ("whole-images.json", "json/openai-images-edit.json"),
    ],
)
def test_keys_are_in_the_order_of_the_recordings(fixture: str, recording: str) -> None:
    if not RECORDINGS.is_dir():
        pytest.skip("the recordings are not at hand: ../shared/recordings")
    wire: dict[str, set[tuple[str, ...]]] = {}
    for name, keys in _key_orders(_read(RECORDINGS / recording), ""):
        wire.setdefault(name, set()).add(tuple(keys))
    compared = 0
    for name, keys in _key_orders(_read(FOLDER / fixture), ""):
        if name in wire:
            compared += 1
            assert any([key for key in real if key in keys] == keys for real in wire[name]), name
    assert compared > 2
