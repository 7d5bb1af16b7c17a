"""Make docs/page.png: the live page in the middle of a run, in a browser.

The streams are simulated, the server and the browser are real: `python docs/page.py`. It needs the extra `web`,
playwright and a Chromium: pip install playwright; apt-get install chromium.
"""

import heapq
import shutil
import sys
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from imgassemble import Assembler
from imgassemble.serving import listen, url_of
from imgassemble.simulator import Order, Pace, play
from imgassemble.web import Gallery
from imgassemble.web.server import guarded_page, page_server

SIZE = (1280, 1000)  # (width, height) of the window in pixels
MOMENT_S = 8.0  # seconds after the beginning of the run
MAX_BYTES = 400_000  # size of the screenshot
PACE = Pace(delay_s=0.8, jitter_s=0.4)
# Seconds after the beginning, and the stream that then starts.
ORDERS = (
    (0.0, Order(prompt="an otter on a lake at dusk", partials=3)),
    (0.0, Order(prompt="a lighthouse at night", size=(1536, 1024), partials=3, format="JPEG", seed=2)),
    (1.5, Order(prompt="pines in the morning", size=(1024, 1536), partials=3, format="WEBP", seed=3)),
    (0.5, Order(prompt="two islands far from each other", size=(1024, 768), seed=4)),
    (0.0, Order(prompt="a harbour in the rain", faults=("error-nested",), seed=5)),
    (0.0, Order(prompt="a field in winter", faults=("no-final",), dialect="openai-2025", seed=6)),
    (2.8, Order(prompt="a mountain valley", partials=3, seed=7)),
    (5.0, Order(prompt="the sea after a storm", seed=8)),
)


class Clock:
    """The seconds of the run. They pass without waiting."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def main() -> None:
    clock = Clock()
    gallery = Gallery(clock=clock)
    feed(gallery, clock)
    listener = listen("127.0.0.1", 0)
    server = page_server(guarded_page(gallery, "127.0.0.1", link=lambda token: None))
    serving = threading.Thread(target=server.run, args=([listener],))
    serving.start()
    try:
        screenshot = photographed(f"{url_of(listener)}/")
    finally:
        server.should_exit = True
        serving.join()
        listener.close()
    Path(__file__).with_suffix(".png").write_bytes(small(screenshot))


def feed(gallery: Gallery, clock: Clock) -> None:
    """Feed all streams up to the moment."""
    assemblers = [Assembler() for _ in ORDERS]
    for assembler, (_, order) in zip(assemblers, ORDERS, strict=True):
        gallery.add(order.prompt, assembler, size=order.size)
    for due_s, at, event in heapq.merge(*(events(at) for at in range(len(ORDERS))), key=lambda each: each[:2]):
        if due_s > MOMENT_S:
            break
        clock.now_s = due_s
        if event is None:
            assemblers[at].close()
        else:
            assemblers[at].feed(event)


def events(at: int) -> Iterator[tuple[float, int, Any]]:
    """Yield when each event of a stream is due, the stream, and the event; None at the end of the stream."""
    due_s, order = ORDERS[at]
    answer = play(order)
    for (wait_s, _), event in zip(PACE.chunks(answer.body, seed=at), answer.events, strict=False):
        due_s += wait_s
        yield due_s, at, event
    yield due_s, at, None


def photographed(url: str) -> bytes:
    with sync_playwright() as engine:
        switches = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        browser = engine.chromium.launch(executable_path=shutil.which("chromium"), args=switches)
        page = browser.new_page(
            viewport={"width": SIZE[0], "height": SIZE[1]}, color_scheme="light", reduced_motion="reduce"
        )
        page.goto(url)
        are_there = """n => document.querySelectorAll(".has-frames").length ===
            document.querySelectorAll(".picture img").length && document.querySelectorAll(".tile").length === n"""
        page.wait_for_function(are_there, arg=len(ORDERS))
        screenshot: bytes = page.screenshot()
        browser.close()
    return screenshot


def small(screenshot: bytes) -> bytes:
    """Return the screenshot as an optimized PNG."""
    file = BytesIO()
    Image.open(BytesIO(screenshot)).convert("RGB").save(file, "PNG", optimize=True)
    if file.tell() > MAX_BYTES:
        sys.exit(f"the screenshot has {file.tell()} bytes, more than {MAX_BYTES}: show another moment of the run")
    return file.getvalue()


if __name__ == "__main__":
    main()
