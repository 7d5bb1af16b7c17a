"""Measures scrolling over 100 pictures of the live page in a Chromium: `python -m benchmarks.scrolling`.

It needs the extra `web`, playwright and a Chromium: pip install playwright; apt-get install chromium.
"""

from __future__ import annotations

import shutil
from typing import Any

from playwright.sync_api import sync_playwright

from imgassemble import Assembler, Picture
from imgassemble.simulator import Order, pictures_of
from imgassemble.web import Gallery

from .viewers import serving

_PICTURES = 100
_SCREENS = {"desktop": (1280, 900), "phone": (390, 844)}  # (width, height) of the window in pixels
# Scrolls by 30 pixels a frame, and returns for each frame the milliseconds since the one before, and the milliseconds
# that the page works for it: from the beginning of the frame until its layout and its drawing commands are ready.
_SCROLL = """() => new Promise((done) => {
  const frames = [], { port1, port2 } = new MessageChannel();
  let before = null, began = 0, y = 0;
  port1.onmessage = () => (frames.at(-1)[1] = performance.now() - began);
  requestAnimationFrame(function step(now) {
    if (before !== null) frames.push([now - before, 0]);
    [before, began] = [now, performance.now()];
    const isOver = frames.length === 300 || y > document.documentElement.scrollHeight - innerHeight;
    if (isOver) return done(frames.slice(2, -1));
    scrollTo(0, (y += 30));
    if (frames.length) port2.postMessage("");
    requestAnimationFrame(step);
  });
})"""
_ARE_THERE = "n => document.querySelectorAll('.picture img').length === n"


def main() -> None:
    gallery = Gallery(max_bytes=2**30)
    for number in range(_PICTURES):
        add(gallery, number)
    with serving(gallery) as port, sync_playwright() as engine:
        switches = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        browser = engine.chromium.launch(executable_path=shutil.which("chromium"), args=switches)
        for name, (width, height) in _SCREENS.items():
            page = browser.new_page(viewport={"width": width, "height": height})
            page.goto(f"http://127.0.0.1:{port}/")
            page.wait_for_function(_ARE_THERE, arg=_PICTURES)
            for what, figures in zip(("between frames", "of work a frame"), scrolled(page), strict=True):
                middle, most = (figures[int(share * (len(figures) - 1))] for share in (0.5, 0.95))
                print(f"{name}, milliseconds {what}: median {middle:.1f}, 95 % below {most:.1f}")
        browser.close()


def add(gallery: Gallery, number: int) -> None:
    """Show one of four pictures with its previews."""
    made = pictures_of(Order(size=(1024, 1024), partials=2, seed=number % 4))[0]
    with_previews = Assembler()
    gallery.add(f"picture {number}", with_previews, size=(1024, 1024))
    for index, preview in enumerate(made.partials):
        with_previews.feed(Picture("ig_1", preview, index=index))
    with_previews.feed(Picture("ig_1", made.result, is_final=True))
    with_previews.close()


def scrolled(page: Any) -> tuple[list[float], list[float]]:
    """Return the figures of the frames of three runs, each list ascending."""
    frames = []
    for _ in range(3):
        page.evaluate("scrollTo(0, 0)")
        page.wait_for_timeout(1_500)
        frames += page.evaluate(_SCROLL)
    between, work = zip(*frames, strict=True)
    return sorted(between), sorted(work)


if __name__ == "__main__":
    main()
