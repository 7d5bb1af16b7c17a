"""A screen in a notebook: the messages of a real kernel to its front ends, and their HTML."""

from __future__ import annotations

import re
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from shutil import which
from typing import Any

import pytest
import samples
from PIL import Image

from imgassemble import FinalReady, Frame, FrameAdded, ItemEnded, ProviderError, State, UsageError, iter_updates
from imgassemble.screens import JupyterScreen
from imgassemble.screens.jupyter import _NotebookTiles

NO_NBCLIENT = "a notebook cannot be executed here: pip install nbclient ipykernel"
PATIENCE_S = 60  # each wait takes milliseconds; a kernel on a busy machine may need longer
TESTS = Path(__file__).parents[1]
FIRST_CELL = f"""
import sys, threading
sys.path.insert(0, {str(TESTS)!r})
import samples
from imgassemble import aassemble, assemble
from imgassemble.screens import JupyterScreen

EVENTS = [samples.partial(index=at, seq=at) for at in (0, 1)] + [samples.done(content=samples.png(5, 4), seq=3)]

def stream(events=EVENTS):
    for event in events:
        yield event
        if "partial" in event["type"]:
            input()  # until the test continues

async def astream():
    for event in stream():
        yield event

def screen(**options):
    return JupyterScreen(size=(5, 4), min_interval_s=0, **options)
"""
SYNC = """
with screen() as shown:
    assemble(stream(), on_update=shown)
"""
ASYNC = """
with screen() as shown:
    await aassemble(astream(), on_update=shown)
"""
ASYNC_BLOCK = """
async with screen() as shown:
    await aassemble(astream(), on_update=shown)
"""
WITHOUT_BLOCK = "assemble(stream(), on_update=screen())"
ASYNC_WITHOUT_BLOCK = "result = await aassemble(astream(), on_update=screen())"


def urls(html: str) -> list[str]:
    return re.findall('src="([^"]*)"', html)


def picture(url: str) -> Image.Image:
    return Image.open(BytesIO(b64decode(url.partition(",")[2])))


def url_of(data: bytes) -> str:
    return f"data:image/png;base64,{samples.b64(data)}"


# The HTML


def page_of(*updates: Any) -> str:
    """Return the HTML after these updates."""
    tiles = _NotebookTiles((5, 4), None)
    for update in updates:
        tiles.note(update)
        tiles.take(update)
    return tiles.bundle()["text/html"]


def test_the_browser_counts_the_seconds_of_an_unfinished_picture_alone() -> None:
    updates = list(iter_updates([samples.partial(), samples.done(content=samples.png(5, 4))]))
    waiting, preview, final = page_of(), page_of(updates[1]), page_of(*updates)
    for page in (waiting, preview):
        assert page.count('class="imgassemble-s"') == 1
        assert "@property --imgassemble-s" in page
    assert "imgassemble-s" not in final


def test_the_output_of_a_blocked_image_holds_no_picture() -> None:
    page = page_of(*iter_updates([samples.partial(), samples.error("moderation_blocked", "not that")]))
    assert urls(page) == []
    assert "blocked (moderation_blocked): not that; its previews are hidden" in page


def test_the_last_preview_of_a_failed_image_has_no_colours_in_a_notebook() -> None:
    failed = page_of(*iter_updates([samples.partial(), samples.error()]))
    draft = page_of(*iter_updates([samples.partial()]))
    assert "grayscale(1)" in failed
    assert "grayscale" not in draft
    assert len(urls(failed)) == len(urls(draft)) == 1


# The messages of the kernel


@dataclass
class Ran:
    """The messages of a cell: the kind, output, cell, caption and HTML of each."""

    cell: str
    displays: list[tuple[str, str, str]] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def take(self, message: Any) -> None:
        kind, content = message["msg_type"], message["content"]
        if kind in ("display_data", "update_display_data"):
            self.displays.append((kind, content["transient"]["display_id"], message["parent_header"]["msg_id"]))
            self.captions.append(content["data"]["text/plain"])
            self.pages.append(content["data"]["text/html"])
        if kind == "error":
            self.errors.append(content["ename"])


class Kernel:
    def __init__(self, client: Any) -> None:
        self._client = client

    def run(self, code: str, *, allows_errors: bool = False, waits: bool = True) -> Ran:
        """Run a cell. Answer each `input()` after the preview before it was received."""
        ran = Ran(self._client.execute(code, allow_stdin=True))
        while True:
            message = self._client.get_iopub_msg(timeout=PATIENCE_S)
            ran.take(message)
            if message["msg_type"] == "update_display_data" and ran.captions[-1].startswith("preview") and waits:
                self._client.get_stdin_msg(timeout=PATIENCE_S)
                self._client.input("")
            is_idle = message["msg_type"] == "status" and message["content"]["execution_state"] == "idle"
            if is_idle and message["parent_header"]["msg_id"] == ran.cell:
                assert allows_errors or not ran.errors, ran.errors
                return ran


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    if find_spec("ipykernel") is None or find_spec("jupyter_client") is None:
        pytest.skip("no kernel here: pip install ipykernel")
    manager = pytest.importorskip("jupyter_client.manager")
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(home))
        patch.setenv("JUPYTER_RUNTIME_DIR", str(home))
        running, client = manager.start_new_kernel(startup_timeout=PATIENCE_S)
        try:
            made = Kernel(client)
            made.run(FIRST_CELL)
            yield made
        finally:
            client.stop_channels()
            running.shutdown_kernel(now=True)


@pytest.mark.parametrize("cell", [SYNC, ASYNC, ASYNC_BLOCK, WITHOUT_BLOCK, ASYNC_WITHOUT_BLOCK])
def test_one_display_of_the_cell_is_updated_in_order_until_it_shows_the_final(kernel: Kernel, cell: str) -> None:
    ran = kernel.run(cell)
    assert ran.captions == ["waiting for the first preview", "preview 1", "preview 2", "final"]
    assert [urls(page) for page in ran.pages[1:]] == [
        [url_of(data)] for data in (samples.shade(0), samples.shade(1), samples.png(5, 4))
    ]
    ((_, display, _),) = {("", *rest) for _, *rest in ran.displays}
    assert ran.displays == [
        (kind, display, ran.cell) for kind in ("display_data", *["update_display_data"] * (len(ran.displays) - 1))
    ]


# The final is decoded only after the loop has run on after the end of the stream.
HELD_FINAL = """
import asyncio
from imgassemble.screens import jupyter
paint, go = jupyter.paint_tile, threading.Event()

def held(*arguments):
    assert go.wait(5), "the loop is blocked"
    return paint(*arguments)

async def finals():
    yield EVENTS[-1]

async def later():
    await asyncio.sleep(0)
    go.set()

jupyter.paint_tile = held
"""


@pytest.mark.parametrize(
    "cell",
    [
        "with screen() as shown:\n    await aassemble(finals(), on_update=shown)\nawait later()",
        "await aassemble(finals(), on_update=screen())\nawait later()",
        "async with screen() as shown:\n    await aassemble(finals(), on_update=shown)\n"
        "    task = asyncio.create_task(later())",
    ],
)
def test_the_end_of_a_stream_blocks_no_loop_and_the_cell_ends_after_it_is_shown(kernel: Kernel, cell: str) -> None:
    kernel.run(HELD_FINAL)
    ran = kernel.run(cell)
    kernel.run("jupyter.paint_tile = paint")
    assert ran.captions == ["waiting for the first preview", "final"]


def test_an_update_finds_its_cell_when_another_one_runs(kernel: Kernel) -> None:
    first = kernel.run("""
go, shown = threading.Event(), screen().__enter__()
def late():
    go.wait()
    yield EVENTS[-1]
feeding = threading.Thread(target=assemble, args=(late(),), kwargs={"on_update": shown})
feeding.start()
""")
    second = kernel.run("go.set(); feeding.join(); shown.__exit__(None, None, None)")
    assert first.captions == ["waiting for the first preview"]
    assert second.captions == ["final"]
    ((_, display, cell),) = first.displays
    assert second.displays == [("update_display_data", display, cell)]


@pytest.mark.parametrize(
    ("keep_open", "why"),
    [("False", "the stream was cut: OSError: gone"), ("True", "interrupted by OSError")],
    ids=["closed", "kept open"],
)
def test_a_stream_that_breaks_off_leaves_a_draft(kernel: Kernel, keep_open: str, why: str) -> None:
    ran = kernel.run(
        f"""
def broken():
    yield from stream(EVENTS[:2])
    raise OSError("gone")
with screen() as shown:
    assemble(broken(), on_update=shown, keep_open={keep_open})
""",
        allows_errors=True,
    )
    assert ran.errors == ["OSError"]
    assert ran.captions[-1] == f"draft: {why}"
    assert urls(ran.pages[-1]) == [url_of(samples.shade(1))]


def test_a_draft_that_never_became_final_is_called_a_draft(kernel: Kernel) -> None:
    ran = kernel.run("assemble(stream(EVENTS[:2]), on_update=screen())")
    assert ran.captions[-1].startswith("draft: ")
    assert urls(ran.pages[-1]) == [url_of(samples.shade(1))]


def test_a_draft_whose_preview_was_skipped_is_still_shown(kernel: Kernel) -> None:
    ran = kernel.run(
        "assemble([samples.partial(index=0), samples.partial(index=1)], "
        "on_update=JupyterScreen(size=(5, 4), min_interval_s=3_600))",
        waits=False,
    )
    assert ran.captions[-1].startswith("draft: ")
    assert urls(ran.pages[-1]) == [url_of(samples.shade(1))]


def test_a_block_that_is_left_before_anything_came_says_so(kernel: Kernel) -> None:
    ran = kernel.run("with screen():\n    pass")
    assert ran.captions == [
        "waiting for the first preview",
        "failed: interrupted: the end of the stream never came",
    ]


def test_an_answer_without_images_says_so(kernel: Kernel) -> None:
    ran = kernel.run("with screen() as shown:\n    assemble([], on_update=shown)")
    assert [caption.partition(":")[0] for caption in ran.captions] == ["waiting for the first preview", "no image"]


def test_a_second_stream_is_shown_in_the_same_output(kernel: Kernel) -> None:
    ran = kernel.run("""
shown = screen()
for name in ("a", "b"):
    assemble([samples.done(name, samples.png(5, 4))], on_update=shown)
""")
    assert ran.captions == ["waiting for the first preview", "final", "final\nfinal"]
    assert len({display for _, display, _ in ran.displays}) == 1


def test_after_its_block_a_screen_shows_nothing_more(kernel: Kernel) -> None:
    ran = kernel.run(
        "with screen() as shown:\n    assemble(EVENTS[2:], on_update=shown)\nassemble(EVENTS, on_update=shown)"
    )
    assert ran.captions == ["waiting for the first preview", "final"]


# Without a kernel


def test_outside_a_notebook_the_error_gives_advice() -> None:
    with pytest.raises(UsageError, match=r"^a JupyterScreen works in a notebook, .* or use TerminalScreen\(\)$"):
        JupyterScreen()


def test_ipython_in_a_terminal_is_no_notebook(tmp_path: Path) -> None:
    if find_spec("IPython") is None:
        pytest.skip("no IPython here: pip install ipykernel")
    code = "from imgassemble.screens import JupyterScreen; JupyterScreen()"
    command = [sys.executable, "-m", "IPython", "--ipython-dir", str(tmp_path), "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert "UsageError: a JupyterScreen works in a notebook" in re.sub("\x1b\\[[0-9;]*m", "", run.stdout + run.stderr)


@pytest.mark.parametrize("size", [(0, 4), (5,), "5x4", (5.0, 4), (True, 4), None])
def test_a_size_that_is_none_is_wrong_use(size: Any) -> None:
    with pytest.raises(UsageError, match=r"^size is \(width, height\) in pixels"):
        JupyterScreen(size=size)


@pytest.mark.parametrize("width", [0, -1, 2.5, "5", True])
def test_a_width_that_is_none_is_wrong_use(width: Any) -> None:
    with pytest.raises(UsageError, match=r"^width is a number of pixels"):
        JupyterScreen(width=width)


# The page


def framed(data: bytes, size: tuple[int, int] = (8, 6), **more: Any) -> Frame:
    return Frame(data=data, format=more.pop("format", "PNG"), size=size, **more)


def page(gallery: _NotebookTiles) -> str:
    return gallery.bundle()["text/html"]


def test_before_the_first_frame_there_is_a_placeholder_with_the_room_of_the_picture() -> None:
    gallery = _NotebookTiles((1536, 1024), None)
    (url,) = urls(page(gallery))
    width, height = picture(url).size
    assert width / height == pytest.approx(1.5, rel=0.02)
    assert len(page(gallery)) < 2_000
    before = re.findall('aspect-ratio:[^;"]*|width="[0-9]+"|height="[0-9]+"', page(gallery))
    assert before == ['width="1536"', 'height="1024"', "aspect-ratio:1536/1024"]
    gallery.take(FinalReady("ig_1", framed(samples.picture("PNG")), is_provisional=False))
    assert re.findall('aspect-ratio:[^;"]*|width="[0-9]+"|height="[0-9]+"', page(gallery)) == before, "it would jump"


def test_without_a_width_the_bytes_are_those_received() -> None:
    gallery = _NotebookTiles((8, 6), None)
    frame = framed(samples.picture("WEBP"), format="WEBP")
    assert gallery.take(FinalReady("ig_1", frame, is_provisional=False))
    assert urls(page(gallery)) == [frame.data_url]


@pytest.mark.parametrize("width", [None, 20])
@pytest.mark.parametrize("size", [None, (30, 20)])
def test_an_svg_drawing_is_shown_only_inside_an_img_element(width: int | None, size: Any) -> None:
    gallery = _NotebookTiles((80, 60), width)
    frame = framed(b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", size, format="SVG")
    gallery.take(FinalReady("ig_1", frame, is_provisional=False))
    assert re.findall('<img src="([^"]*)"', page(gallery)) == [frame.data_url]
    assert "<svg" not in page(gallery)
    assert set(gallery.bundle()) == {"text/html", "text/plain"}


@pytest.mark.parametrize(
    ("mode", "colour", "form"),
    [
        ("RGB", "red", "JPEG"),
        ("L", 30, "JPEG"),
        ("P", 0, "JPEG"),
        ("RGBA", (9, 9, 9, 255), "JPEG"),
        ("RGBA", (9, 9, 9, 90), "PNG"),
    ],
)
def test_with_a_width_there_is_a_smaller_copy(mode: str, colour: Any, form: str) -> None:
    file = BytesIO()
    Image.new(mode, (80, 60), colour).save(file, "PNG")
    gallery = _NotebookTiles((80, 60), 20)
    gallery.take(FinalReady("ig_1", framed(file.getvalue(), (80, 60)), is_provisional=False))
    shown = picture(urls(page(gallery))[0])
    assert (shown.size, shown.format) == ((20, 15), form)
    assert 'width="20" height="15"' in page(gallery)


def test_a_picture_that_is_small_enough_stays_as_it_was_received() -> None:
    gallery = _NotebookTiles((80, 60), 20)
    frame = framed(samples.picture("PNG"))
    gallery.take(FinalReady("ig_1", frame, is_provisional=False))
    assert urls(page(gallery)) == [frame.data_url]


def test_a_picture_that_cannot_be_decoded_leaves_the_one_before_it() -> None:
    gallery = _NotebookTiles((8, 6), None)
    good = framed(samples.picture("PNG"), index=0)
    gallery.take(FrameAdded("ig_1", good, is_latest=True))
    gallery.take(FrameAdded("ig_1", framed(samples.png(8, 6)[:60], index=1), is_latest=True))
    assert urls(page(gallery)) == [good.data_url]
    assert gallery.bundle()["text/plain"] == "preview 2; it cannot be decoded"
    gallery.take(ItemEnded("ig_1", State.INCOMPLETE, None))
    assert urls(page(gallery)) == [good.data_url]
    assert gallery.bundle()["text/plain"] == "draft; it cannot be decoded"


def test_a_damaged_picture_of_any_size_is_detected_when_it_is_shown_in_full() -> None:
    gallery = _NotebookTiles((8, 6), 8)
    before = urls(page(gallery))
    gallery.take(FrameAdded("ig_1", framed(samples.png(1, 1)[:50], (1, 1), index=0), is_latest=True))
    assert urls(page(gallery)) == before


def test_an_icc_profile_is_kept_if_it_fits_the_shown_colours() -> None:
    file, profile = BytesIO(), b"\0" * 16 + b"RGB " + b"\0" * 108
    Image.new("RGB", (80, 60)).save(file, "JPEG", icc_profile=profile)
    gallery = _NotebookTiles((80, 60), 20)
    gallery.take(FinalReady("a", framed(file.getvalue(), (80, 60), format="JPEG"), is_provisional=False))
    assert picture(urls(page(gallery))[0]).info["icc_profile"] == profile


def test_the_text_of_a_service_is_never_html() -> None:
    gallery = _NotebookTiles((8, 6), None)
    error = ProviderError('<script>alert("1")</script>')
    assert gallery.take(ItemEnded('"><script>', State.FAILED, error))
    assert "<script" not in page(gallery)
    assert "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;" in page(gallery)


def test_several_items_stand_side_by_side_in_the_order_of_their_first_pictures() -> None:
    gallery = _NotebookTiles((8, 6), None)
    for name, index in (("a", 0), ("b", 0), ("a", 1)):
        gallery.take(FrameAdded(name, framed(samples.picture("PNG"), index=index), is_latest=True))
    assert gallery.bundle()["text/plain"] == "preview 2\npreview 1"
    assert page(gallery).count("<figure") == 2


def test_an_ended_item_is_not_interrupted() -> None:
    gallery = _NotebookTiles((8, 6), None)
    gallery.take(FinalReady("a", framed(samples.picture("PNG")), is_provisional=False))
    assert not gallery.interrupt(KeyboardInterrupt)
    gallery.take(FrameAdded("b", framed(samples.picture("PNG"), index=0), is_latest=True))
    assert gallery.interrupt(KeyboardInterrupt)
    assert gallery.bundle()["text/plain"] == "final\ndraft: interrupted by KeyboardInterrupt"


def test_a_notebook_that_is_executed_holds_the_strip_of_a_result() -> None:
    nbformat, nbclient = (pytest.importorskip(name, reason=NO_NBCLIENT) for name in ("nbformat", "nbclient"))
    if find_spec("ipykernel") is None:
        pytest.skip(NO_NBCLIENT)
    source = FIRST_CELL + "assemble(EVENTS)"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    nbclient.NotebookClient(notebook, timeout=PATIENCE_S, kernel_name="python3").execute()
    ((data,),) = [[output["data"] for output in cell["outputs"]] for cell in notebook["cells"]]
    assert data["text/plain"] == "<Result completed: 1 image, 1 final>"
    assert re.findall("<figcaption[^>]*>([^<]*)<", data["text/html"]) == ["preview 1", "preview 2", "final"]
    assert len(urls(data["text/html"])) == 3


def test_the_seconds_tick_in_a_browser_without_the_kernel(tmp_path: Path) -> None:
    api = pytest.importorskip("playwright.sync_api", reason="no browser here: pip install playwright")
    chromium = which("chromium") or which("google-chrome")
    if chromium is None:
        pytest.skip("no browser here: apt-get install chromium")
    page_file = tmp_path / "output.html"
    page_file.write_text(page_of())
    with api.sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"]).new_page()
        page.goto(page_file.as_uri())
        before = page.screenshot()
        seconds = "getComputedStyle(document.querySelector('.imgassemble-s')).getPropertyValue('--imgassemble-s')"
        page.wait_for_function(f"Number({seconds}) >= 2", timeout=PATIENCE_S * 1_000)
        assert page.screenshot() != before
