"""The set-up of the page's tests: a site, streams that are fed step by step, and viewers.

Knows: the server, the browser's page as a test sees it. Must not know: the expected facts of a test.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from imgassemble import Assembler
from imgassemble.serving import listen, url_of
from imgassemble.simulator import Order, play
from imgassemble.web import Gallery
from imgassemble.web.server import guarded_page, page_server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SWITCHES = (  # no requests for updates; can run as root in a container
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
AXE = Path(os.environ.get("IMGASSEMBLE_AXE") or Path(__file__).parent / "node_modules/axe-core/axe.min.js")
NODE_MODULES = AXE.parents[1]
# Runs before the page's own scripts and records which pictures were shown and how far elements moved.
WITNESS = """
window.shown = [];
window.moved = 0;
new MutationObserver((changes) => {
  for (const change of changes)
    for (const node of change.addedNodes)
      if (node.nodeName === "IMG" && node.closest(".picture")) window.shown.push(node.getAttribute("src"));
}).observe(document, { childList: true, subtree: true });
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.moved += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""
# Whether the picture of this address is the only one of a tile, and its fade has ended.
ON_TOP = """([at, url]) => {
  const images = [...document.querySelectorAll(".tile")].at(-1 - at)?.querySelectorAll(".picture img") ?? [];
  return images.length === 1 && images[0].getAttribute("src") === url && getComputedStyle(images[0]).opacity === "1";
}"""


@contextmanager
def chromium() -> Iterator[Any]:
    """Run a Chromium without a window; skip the test if there is none."""
    if CHROMIUM is None:
        pytest.skip("Chromium is missing: apt-get install chromium")
    with importlib.import_module("playwright.sync_api").sync_playwright() as engine:
        running = engine.chromium.launch(executable_path=CHROMIUM, args=SWITCHES.split())
        yield running
        running.close()


class Site:
    """A gallery with its page on a port. The server can be stopped and started again."""

    def __init__(self) -> None:
        self.clock: Callable[[], float] = time.monotonic  # of the gallery; a test can replace it
        self.gallery = Gallery(clock=lambda: self.clock())
        self.port = 0
        self.url = ""
        self._stop: Callable[[], None] = lambda: None

    def start(self, app: Any = None) -> None:
        listener = listen("127.0.0.1", self.port)
        self.url, self.port = f"{url_of(listener)}/", listener.getsockname()[1]
        server = page_server(app or guarded_page(self.gallery, "127.0.0.1", link=lambda token: None))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()

        def stop() -> None:
            server.should_exit = True
            thread.join()
            listener.close()

        self._stop = stop

    def stop(self) -> None:
        self._stop()
        self._stop = lambda: None

    def stream(self, order: Order, name: str | None = None, *, is_sized: bool = True) -> Feeding:
        return Feeding(self.gallery, order, name or order.prompt, is_sized=is_sized)


class Feeding:
    """A stream of which a test feeds one event after the other."""

    def __init__(self, gallery: Gallery, order: Order, name: str, *, is_sized: bool) -> None:
        self._gallery, self._name = gallery, name
        self._assembler = Assembler()
        self._rest = list(play(order).events)
        gallery.add(name, self._assembler, size=order.size if is_sized else None)

    @property
    def items(self) -> list[dict[str, Any]]:
        """The facts of the items, each with the facts of its frames in place of their numbers."""
        own = [change for change in self._gallery.changes()[1] if change.stream == self._name]
        frames = {change.facts["number"]: change.facts for change in own if change.kind == "frame"}
        items = [change.facts for change in own if change.kind == "item"]
        return [facts | {"frames": [frames[number] for number in facts["frames"]]} for facts in items]

    @property
    def frames(self) -> list[dict[str, Any]]:
        """The frames of the first item, the one that the page is to show last."""
        return self.items[0]["frames"] if self.items else []

    @property
    def shown(self) -> str:
        """The address of the small picture that the tile of the first item is to show; "" if it has none."""
        return str(self.frames[-1]["small_url"]) if self.frames else ""

    @property
    def original(self) -> str:
        """The address of the same picture as it was received."""
        return str(self.frames[-1]["url"])

    def feed(self, event: dict[str, Any]) -> None:
        self._assembler.feed(event)

    def step(self) -> bool:
        """Feed until there is another picture to show. Return False if there is none."""
        before = self.shown
        while self._rest:
            self.feed(self._rest.pop(0))
            if self.shown != before:
                return True
        return False

    def play_on(self) -> None:
        while self._rest:
            self.feed(self._rest.pop(0))

    def fail(self, error: Exception) -> None:
        """End the stream as a driver does if the client raises."""
        self._assembler.close(error)

    def finish(self) -> None:
        self.play_on()
        self._assembler.close()


class Viewer:
    """A page in a browser. Its errors are recorded.

    at: the place of a tile, counted from the end of the page, which has the first stream.
    """

    def __init__(self, context: Any, url: str) -> None:
        self.context, self.page = context, context.new_page()
        self.trouble: list[str] = []
        self.allowed = re.compile("(?!)")  # errors that a test causes itself
        self._host = urlsplit(url).netloc
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.trouble.append(str(error)))
        self.page.on("request", self._check)
        context.add_init_script(WITNESS)

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.trouble.append(message.text)

    def _check(self, request: Any) -> None:
        if urlsplit(request.url).netloc != self._host:
            self.trouble.append(f"a request to {request.url}")

    def check(self) -> None:
        assert [each for each in self.trouble if not self.allowed.search(each)] == []

    def tile(self, at: int = 0) -> Any:
        return self.page.locator(".tile").nth(-1 - at)

    def wait_for(self, script: str, argument: Any = None) -> None:
        self.page.wait_for_function(script, arg=argument)

    def wait_for_text(self, selector: str, text: str, at: int = 0) -> None:
        script = "([selector, text, at]) => [...document.querySelectorAll(selector)].at(-1 - at)?.textContent === text"
        self.wait_for(script, [selector, text, at])

    def wait_for_picture(self, url: str, at: int = 0) -> None:
        self.wait_for(ON_TOP, [at, url])

    def wait_for_tiles(self, n_tiles: int) -> None:
        self.wait_for("n => document.querySelectorAll('.tile').length === n", n_tiles)

    def text(self, selector: str, at: int = 0) -> str:
        return str(self.tile(at).locator(selector).text_content())

    def evaluate(self, script: str) -> Any:
        return self.page.evaluate(script)
