"""Films and sheets: their frames and seconds, their pictures for each kind of image, their files, and their bounds."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import tracemalloc
from base64 import b64decode
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import samples
from PIL import Image, ImageChops, ImageDraw, ImageSequence

from imgassemble import (
    Assembler,
    FrameDecodeError,
    IncompleteStreamError,
    Picture,
    ProviderError,
    Result,
    SinkError,
    UsageError,
    assemble,
    film,
)
from imgassemble.screens.film_frames import LONGEST_SIDE, STEP_S, plan_film
from imgassemble.screens.sheet import draw_sheet

RED, GREEN, BLUE = (220, 30, 30), (30, 160, 40), (40, 60, 200)
BLOCKED = {"code": "moderation_blocked", "message": "no"}
DOCS = Path(__file__).parents[2] / "docs"
NO_NOTEBOOK = "a notebook cannot be executed here: pip install nbclient ipykernel"
HAS_AV = importlib.util.find_spec("av") is not None
FORMATS = ["webp", pytest.param("avif", marks=pytest.mark.skipif(not samples.has_avif(), reason="no AVIF")), "gif"]


def result_of(*pictures: Image.Image | bytes, name: str = "otter", is_final: bool = True) -> Result:
    """The result of an image whose last picture is its final, and whose others are its previews."""
    assembler = Assembler()
    for at, picture in enumerate(pictures):
        is_last = is_final and at == len(pictures) - 1
        assembler.feed(Picture(name, picture, index=None if is_last else at, is_final=is_last))
    assembler.close()
    assert assembler.result is not None
    return assembler.result


def plain(colour: tuple[int, int, int], size: tuple[int, int] = (60, 40)) -> Image.Image:
    return Image.new("RGB", size, colour)


def round_picture(colour: tuple[int, int, int]) -> Image.Image:
    """A disc on a transparent ground."""
    image = Image.new("RGBA", (64, 64))
    ImageDraw.Draw(image).ellipse((8, 8, 56, 56), fill=colour)
    return image


def frames_of(path: Path) -> list[Image.Image]:
    return [frame.convert("RGBA") for frame in ImageSequence.Iterator(Image.open(BytesIO(path.read_bytes())))]


def seconds_of(path: Path) -> list[float]:
    image = Image.open(BytesIO(path.read_bytes()))
    seconds = []
    for at in range(getattr(image, "n_frames", 1)):
        image.seek(at)
        image.load()
        seconds.append(image.info["duration"] / 1000)
    return seconds


def is_near(pixel: Any, colour: tuple[int, int, int], within: int = 24) -> bool:
    return all(abs(one - other) <= within for one, other in zip(pixel[:3], colour, strict=True))


# ---- films


@pytest.mark.parametrize("form", FORMATS)
def test_the_previews_fade_into_each_other_and_the_final_is_held_longest(form: str, tmp_path: Path) -> None:
    result = result_of(plain(RED), plain(GREEN), plain(BLUE))
    (path,) = film.save_films(result, tmp_path / f"otter.{form}")
    frames, seconds = frames_of(path), seconds_of(path)
    assert {frame.size for frame in frames} == {(60, 40)}
    shown: list[Any] = [frame.getpixel((30, 20)) for frame in frames]
    held = [at for at, each in enumerate(seconds) if each > STEP_S]
    assert all(is_near(shown[at], colour) for at, colour in zip(held, (RED, GREEN, BLUE), strict=True))
    assert max(seconds) == seconds[-1] == 3
    fade = shown[held[0] : held[1] + 1]
    assert [pixel[0] for pixel in fade] == sorted((pixel[0] for pixel in fade), reverse=True)
    assert len(fade) == 8
    assert sum(seconds) == pytest.approx(2 * 0.8 + 3, abs=2 * STEP_S)


def test_the_seconds_can_be_chosen(tmp_path: Path) -> None:
    result = result_of(plain(RED), plain(BLUE))
    (path,) = film.save_films(result, tmp_path / "otter.webp", preview_s=0.3, final_s=6)
    assert seconds_of(path) == [0.18, 0.06, 0.06, 6]


def test_a_film_of_a_picture_without_previews_is_that_picture(tmp_path: Path) -> None:
    (path,) = film.save_films(result_of(plain(BLUE)), tmp_path / "otter.webp")
    assert is_near(frames_of(path)[0].getpixel((5, 5)), BLUE)


def test_a_thousand_previews_take_a_minute() -> None:
    result = result_of(*[plain((at % 256, 0, 0), (4, 4)) for at in range(1000)], plain(BLUE, (4, 4)))
    plan = plan_film(result.items["otter"], can_keep_alpha=True)
    assert plan is not None
    assert sum(plan.steps) * STEP_S == pytest.approx(63, abs=1)
    assert len(plan.steps) == sum(1 for _ in plan.frames()) == 1001


def test_every_frame_has_the_size_of_the_final_and_other_aspects_get_bars(tmp_path: Path) -> None:
    result = result_of(plain(RED, (50, 50)), plain(BLUE, (200, 100)))
    frames = frames_of(film.save_films(result, tmp_path / "otter.gif")[0])
    assert {frame.size for frame in frames} == {(200, 100)}
    assert is_near(frames[0].getpixel((100, 50)), RED)
    assert is_near(frames[0].getpixel((10, 50)), (240, 240, 240))


@pytest.mark.parametrize(("size", "expected"), [(100, (100, 50)), (4096, (200, 100)), (1, (1, 1))])
def test_size_is_the_longest_side_and_enlarges_nothing(size: int, expected: tuple[int, int], tmp_path: Path) -> None:
    result = result_of(plain(RED, (20, 10)), plain(BLUE, (200, 100)))
    assert frames_of(film.save_films(result, tmp_path / "otter.webp", size=size)[0])[0].size == expected


@pytest.mark.parametrize("form", FORMATS)
def test_transparency_is_kept_where_the_format_has_it_and_shown_on_a_checkerboard_elsewhere(
    form: str, tmp_path: Path
) -> None:
    result = result_of(round_picture(RED), round_picture(BLUE))
    frames = frames_of(film.save_films(result, tmp_path / f"otter.{form}")[0])
    for frame in frames:
        corners: list[Any] = [frame.getpixel((2, 2)), frame.getpixel((18, 2))]
        if form == "gif":
            assert [pixel[0] > 240 for pixel in corners] == [True, False]
        else:
            assert all(pixel[3] < 8 for pixel in corners)
        assert not is_near(frame.getpixel((32, 32)), (0, 0, 0), 30)


def test_a_draft_and_a_failure_are_marked_on_the_film(tmp_path: Path) -> None:
    big = (300, 200)
    draft = result_of(plain(RED, big), plain(GREEN, big), is_final=False)
    failed = assemble([samples.partial("ig_1", 0, samples.png(300, 200, RED)), samples.done("ig_1", status="failed")])
    final = result_of(plain(RED, big), plain(GREEN, big))
    corner = (0, 170, 60, 200)
    colours = []
    for name, result in (("draft", draft), ("failed", failed), ("final", final)):
        last = frames_of(film.save_films(result, tmp_path / f"{name}.webp")[0])[-1]
        colours.append(len(set(last.crop(corner).convert("L").quantize(4).getcolors() or ())))
        if name == "failed":
            assert len(set(last.getpixel((150, 50))[:3])) == 1  # type: ignore[index]
    assert colours[0] > 1
    assert colours[1] > 1
    assert colours[2] == 1


def test_each_of_several_images_has_a_file_of_its_own_and_a_blocked_one_has_none(tmp_path: Path) -> None:
    events = [
        samples.partial("ig_1", 0, samples.png(8, 8, RED)),
        samples.done("ig_1", samples.png(8, 8, BLUE)),
        samples.partial("ig_2", 0, samples.png(8, 8, RED), output_index=1),
        samples.done("ig_2", status="failed", error=BLOCKED, output_index=1),
        samples.done("ig_3", samples.png(8, 8, GREEN), output_index=2),
    ]
    paths = film.save_films(assemble(events), tmp_path / "otter")
    assert [path.name for path in paths] == ["otter-1.webp", "otter-3.webp"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["otter-1.webp", "otter-3.webp"]


def test_a_result_without_a_picture_to_show_raises_its_error(tmp_path: Path) -> None:
    blocked = assemble([samples.partial("ig_1"), samples.done("ig_1", status="failed", error=BLOCKED)])
    saves: list[Any] = [film.save_films, film.save_sheet]
    for save in saves:
        with pytest.raises(ProviderError, match="moderation_blocked"):
            save(blocked, tmp_path / "otter")
        with pytest.raises(IncompleteStreamError, match="the stream was empty"):
            save(assemble([]), tmp_path / "otter")
    with pytest.raises(ProviderError, match="moderation_blocked"):
        film.inline_films(blocked)
    assert not list(tmp_path.iterdir())


def with_damaged_pixels(colour: tuple[int, int, int]) -> bytes:
    """A PNG that is whole by its chunks, and whose checksums of pixels are wrong."""
    data = bytearray(samples.png(8, 8, colour))
    at = data.index(b"IDAT")
    data[at + 8] ^= 0xFF
    return bytes(data)


def test_a_preview_that_cannot_be_decoded_is_left_out(tmp_path: Path) -> None:
    result = result_of(samples.png(8, 8, RED), with_damaged_pixels(GREEN), samples.png(8, 8, BLUE))
    frames = frames_of(film.save_films(result, tmp_path / "otter.webp")[0])
    assert len(frames) == 8
    draft = result_of(samples.png(8, 8, RED), with_damaged_pixels(GREEN), is_final=False)
    assert len(frames_of(film.save_films(draft, tmp_path / "draft.webp")[0])) == 1


def test_a_final_that_cannot_be_decoded_is_an_error_after_the_other_films(tmp_path: Path) -> None:
    events = [
        samples.done("ig_1", with_damaged_pixels(RED)),
        samples.done("ig_2", samples.png(8, 8, BLUE), output_index=1),
    ]
    with pytest.raises(FrameDecodeError, match="cannot be decoded"):
        film.save_films(assemble(events), tmp_path / "otter.webp")
    assert [path.name for path in tmp_path.iterdir()] == ["otter-2.webp"]


# ---- files and arguments


def test_an_existing_file_is_refused_before_any_work_unless_it_may_be_overwritten(tmp_path: Path) -> None:
    result = result_of(plain(RED), plain(BLUE))
    saves: list[Any] = [film.save_films, film.save_sheet]
    for save in saves:
        path = tmp_path / "mine.webp"
        path.write_bytes(b"mine")
        with pytest.raises(SinkError, match="exists already") as refused:
            save(result, path)
        assert (refused.value.path, path.read_bytes()) == (str(path), b"mine")
        save(result, path, overwrite=True)
        assert Image.open(BytesIO(path.read_bytes())).format == "WEBP"


def test_the_suffix_says_the_format_and_is_added_if_there_is_none(tmp_path: Path) -> None:
    result = result_of(plain(RED), plain(BLUE))
    assert film.save_films(result, tmp_path / "otter")[0].name == "otter.webp"
    assert film.save_sheet(result, tmp_path / "sheet").name == "sheet.png"
    assert Image.open(BytesIO(film.save_sheet(result, tmp_path / "sheet.JPG").read_bytes())).format == "JPEG"


untyped: Any = film  # for wrong arguments
WRONG: list[tuple[Any, str]] = [
    (lambda result: untyped.save_films(result, "otter.webm"), "ends in .webp, .avif, .gif, .mp4, not '.webm'; did you"),
    (lambda result: untyped.save_films(result, ""), "path is the name of a film"),
    (lambda result: untyped.save_films(result, 3), "path is a path"),
    (lambda result: untyped.save_films([], "otter.webp"), "result is the Result of a stream, not list"),
    (lambda result: untyped.save_films(result, "x.gif", size=0), "size is a number of pixels from 1 to 4,096"),
    (lambda result: untyped.save_films(result, "x.gif", size=5000), "size is a number of pixels from 1 to 4,096"),
    (lambda result: untyped.save_films(result, "x.gif", final_s=float("inf")), "final_s is a number of seconds"),
    (
        lambda result: untyped.save_films(result, "x.gif", preview_s="1"),
        "preview_s is a number of seconds from 0 to 600",
    ),
    (lambda result: untyped.save_films(result, "x.gif", overwrite="yes"), "overwrite is True or False"),
    (lambda result: untyped.save_sheet(result, "x.gif"), "the name of a sheet ends in .png"),
    (lambda result: untyped.save_sheet(result, "x.png", size=8), "size is a number of pixels from 64 to 1,024"),
    (lambda result: untyped.save_sheet(result, "x.png", seconds=[1]), "seconds is a mapping"),
    (lambda result: untyped.inline_films(None), "result is the Result of a stream"),
]


@pytest.mark.parametrize(("call", "words"), WRONG)
def test_wrong_arguments_say_what_works(call: Any, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=re.escape(words)):
        call(result_of(plain(RED)))
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(HAS_AV, reason="PyAV is installed")
def test_a_video_without_its_package_says_how_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape("pip install 'imgassemble[video]'")):
        film.save_films(result_of(plain(RED)), tmp_path / "otter.mp4")


@pytest.mark.skipif(not HAS_AV, reason="no PyAV here: pip install 'imgassemble[video]'")
@pytest.mark.parametrize("size", [(61, 41), (1, 1), (300, 1)])
def test_a_video_has_even_sides_and_plays_the_same_seconds(size: tuple[int, int], tmp_path: Path) -> None:
    import av

    (path,) = film.save_films(result_of(plain(RED, size), plain(BLUE, size)), tmp_path / "otter.mp4")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_image() for frame in container.decode(stream)]  # type: ignore[no-untyped-call, unused-ignore]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
    assert {frame.size for frame in frames} == {(max(2, size[0] & ~1), max(2, size[1] & ~1))}
    assert len(frames) * STEP_S == pytest.approx(0.8 + 3, abs=STEP_S)
    assert is_near(frames[0].getpixel((0, 0)), RED)
    assert is_near(frames[-1].getpixel((0, 0)), BLUE)


# ---- bounds


def test_a_film_holds_a_few_pictures_in_memory_however_many_previews_there_are() -> None:
    few, many = (result_of(*[plain((at, 0, 0), (256, 256)) for at in range(n)]) for n in (5, 100))
    painted = []
    for result in (few, many):
        plan = plan_film(result.items["otter"], can_keep_alpha=True, preview_s=0.3)
        assert plan is not None
        living = 0
        tracemalloc.start()
        for frame in plan.frames():
            living += frame.size[0]
        painted.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert painted[1] < painted[0] + 100_000


@pytest.mark.parametrize("size", [(30_000, 2), (2, 30_000)])
@pytest.mark.parametrize("form", FORMATS)
def test_long_pictures_are_scaled_to_the_longest_side(form: str, size: tuple[int, int], tmp_path: Path) -> None:
    result = result_of(plain(RED, size), plain(BLUE, size))
    shape = frames_of(film.save_films(result, tmp_path / f"otter.{form}")[0])[0].size
    assert (max(shape), min(shape)) == (LONGEST_SIDE, 1)
    sheet = draw_sheet(result.items.values())
    assert max(sheet.size) < 1000


def test_a_gif_that_needs_too_much_memory_is_refused(tmp_path: Path) -> None:
    previews = [samples.png(2000, 2000, (at, 0, 0)) for at in range(12)]
    with pytest.raises(UsageError, match="choose a smaller size, like 512, or another format"):
        film.save_films(result_of(*previews), tmp_path / "otter.gif")


# ---- sheets


def test_a_sheet_shows_every_picture_in_its_row_on_a_light_ground(tmp_path: Path) -> None:
    events = [
        samples.partial("ig_1", 0, samples.png(64, 48, RED)),
        samples.done("ig_1", samples.png(64, 48, GREEN)),
        samples.done("ig_2", samples.png(64, 48, BLUE), output_index=1),
    ]
    sheet = Image.open(
        BytesIO(film.save_sheet(assemble(events), tmp_path / "sheet.png", size=64).read_bytes())
    ).convert("RGB")
    pixels = {sheet.getpixel((x, y)): (x, y) for x in range(sheet.width) for y in range(sheet.height)}
    red, green, blue = (pixels[colour] for colour in (RED, GREEN, BLUE))
    assert red[1] == green[1] < blue[1]
    assert red[0] == blue[0] < green[0]
    assert min(sheet.getpixel((0, 0))) > 240  # type: ignore[arg-type]


def captions_of(result: Result, monkeypatch: pytest.MonkeyPatch, **options: Any) -> str:
    """The texts that a sheet draws, with " | " between its lines."""
    lines: list[str] = []
    text = ImageDraw.ImageDraw.text

    def note(self: Any, xy: Any, line: str, *more: Any, **named: Any) -> None:
        lines.append(line)
        text(self, xy, line, *more, **named)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", note)
    draw_sheet(result.items.values(), **options)
    return " | ".join(lines)


def test_captions_count_previews_from_1_and_tell_drafts_finals_and_given_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result = result_of(plain(RED), plain(GREEN), plain(BLUE))
    assert captions_of(result, monkeypatch) == "preview 1 | preview 2 | final"
    first, last = result.items["otter"].partials[0], result.require_final()
    told = captions_of(result, monkeypatch, seconds={first: 2.25, last: 10})
    assert told == "preview 1, 2.2 s | preview 2 | final, 10.0 s"
    draft = result_of(plain(RED), is_final=False)
    assert captions_of(draft, monkeypatch).startswith("draft: ")


def test_a_sheet_explains_what_it_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="90" height="60"><rect width="9" height="9"/></svg>'
    events = [
        samples.partial("ig_1", 0, samples.png(60, 40, RED)),
        samples.done("ig_1", status="failed", error=BLOCKED),
        samples.partial("ig_2", 0, samples.png(60, 40, RED), output_index=1),
        samples.done("ig_2", status="failed", error={"code": "x", "message": "it broke"}, output_index=1),
        samples.done("ig_3", svg, output_index=2),
        samples.done("ig_4", with_damaged_pixels(RED), output_index=3),
    ]
    told = captions_of(assemble(events), monkeypatch)
    assert told.startswith("image 1: blocked: no; its | previews are hidden | image 2: preview 1 | image 2: failed: ")
    assert "an SVG | drawing | image 3: final" in told
    assert "image 4: final" in told


def test_a_sheet_has_at_most_a_hundred_pictures_and_counts_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    result = result_of(*[plain((at, 0, 0), (40, 40)) for at in range(130)], is_final=False)
    told = captions_of(result, monkeypatch, size=64)
    assert told.count("preview") == 100
    assert told.endswith("preview 100 | and 30 more")


def test_a_sheet_that_is_too_large_is_refused(tmp_path: Path) -> None:
    result = result_of(*[plain((at, 0, 0), (1024, 1024)) for at in range(40)])
    with pytest.raises(UsageError, match="choose a smaller size"):
        film.save_sheet(result, tmp_path / "sheet.png", size=1024)


# ---- notebooks


def test_a_notebook_shows_the_films_of_all_images_as_animations() -> None:
    shown = film.inline_films(result_of(plain(RED), plain(BLUE)), size=30)
    html = shown._repr_mimebundle_()["text/html"]
    (data,) = re.findall(r'src="data:image/webp;base64,([^"]+)"', html)
    image = Image.open(BytesIO(b64decode(data)))
    assert (image.size, image.n_frames) == ((30, 20), 8)  # type: ignore[attr-defined]
    assert re.fullmatch("<InlineFilms: 1 film, [0-9,]+ bytes>", repr(shown))


def test_the_names_in_a_notebook_are_escaped() -> None:
    html = film.inline_films(result_of(plain(RED), name='"><script>'))._repr_mimebundle_()["text/html"]
    assert "<script>" not in html


def test_a_notebook_that_is_executed_holds_the_film() -> None:
    nbformat, nbclient = (pytest.importorskip(name, reason=NO_NOTEBOOK) for name in ("nbformat", "nbclient"))
    pytest.importorskip("ipykernel", reason=NO_NOTEBOOK)
    fixture = DOCS.parent / "fixtures" / "openai-2025-06-jpeg.sse"
    source = (
        "from pathlib import Path\nfrom imgassemble import assemble, film\n"
        f"film.inline_films(assemble(Path({str(fixture)!r})))"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    ((output,),) = [cell["outputs"] for cell in notebook["cells"]]
    (data,) = re.findall(r'src="data:image/webp;base64,([^"]+)"', output["data"]["text/html"])
    assert Image.open(BytesIO(b64decode(data))).n_frames > 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [(320, 240), (1280, 720)])
def test_a_browser_shows_films_of_every_format_in_their_own_colours(size: tuple[int, int], tmp_path: Path) -> None:
    api = pytest.importorskip("playwright.sync_api", reason="no browser here: pip install playwright")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no browser here: apt-get install chromium")
    colours = [(200, 120, 60), (30, 200, 60), (60, 120, 220)]
    forms = ["webp", "gif", *(["avif"] if samples.has_avif() else []), *(["mp4"] if HAS_AV else [])]
    elements = []
    for at, colour in enumerate(colours):
        nearly = colour[0] + 3, colour[1] + 3, colour[2] + 3
        result = result_of(plain(nearly, size), plain(colour, size))
        for form in forms:
            (path,) = film.save_films(result, tmp_path / f"{at}.{form}")
            tag = "video muted autoplay" if form == "mp4" else "img"
            elements.append(f"<{tag} src={path.name} width=64 height=48></{tag.split()[0]}>")
    (tmp_path / "page.html").write_text("".join(elements))
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto((tmp_path / "page.html").as_uri())
        page.wait_for_function("[...document.images].every((each) => each.complete)")
        page.wait_for_function("[...document.querySelectorAll('video')].every((each) => each.readyState === 4)")
        shots = [Image.open(BytesIO(each.screenshot())) for each in page.query_selector_all("img, video")]
        browser.close()
    expected = [colour for colour in colours for _ in forms]
    shown = [shot.convert("RGB").getpixel((32, 24)) for shot in shots]
    assert all(is_near(pixel, colour, 8) for pixel, colour in zip(shown, expected, strict=True)), shown


# ---- the page


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with the fixtures in it, as a clone has."""
    shutil.copytree(DOCS.parent / "fixtures", tmp_path / "fixtures")
    return tmp_path


def test_the_program_of_the_page_prints_what_is_shown(clone: Path) -> None:
    page = (DOCS / "films.md").read_text()
    ((program, printed),) = re.findall(r"^```python\n(.*?)^```\n+```text\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    run = subprocess.run([sys.executable, "-c", program], cwd=clone, capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == (printed, "")


def test_the_commands_of_the_page_run(clone: Path) -> None:
    lines = re.findall(r"^\$ imgassemble (.+)$", (DOCS / "films.md").read_text(), re.MULTILINE)
    for line in lines:
        command = [sys.executable, "-m", "imgassemble", *shlex.split(line)]
        assert subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False).returncode == 0
    assert {"otter.webp", "sheet.png", "both-1.gif", "both-2.gif"} <= {path.name for path in clone.iterdir()}


def test_the_film_of_the_page_is_drawn_from_a_simulated_stream(tmp_path: Path) -> None:
    """Its bytes depend on the encoder, so the pictures are compared."""
    program = shutil.copy(DOCS / "films.py", tmp_path)
    subprocess.run([sys.executable, str(program)], check=True)
    for name in ("film.webp", "sheet.webp"):
        drawn, shown = (frames_of(folder / name)[-1] for folder in (tmp_path, DOCS))
        assert ImageChops.difference(drawn, shown).convert("L").resize((8, 8)).getextrema()[1] < 24  # type: ignore[operator]
