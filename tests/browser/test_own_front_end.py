"""The pages of docs/own_front_end.md, unchanged, in a real browser: a page of one's own over the events and frames."""

from __future__ import annotations

import os
import runpy
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the page needs the extra web: pip install 'imgassemble[web]'")
pytest.importorskip("uvicorn", reason="the page needs the extra web: pip install 'imgassemble[web]'")
pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install playwright")

from starlette.applications import Starlette
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from browser.stage import NODE_MODULES, Site, chromium
from imgassemble import Assembler
from imgassemble.simulator import Order

DOCS = Path(__file__).parents[2] / "docs"
PROGRAMS = DOCS / "own_front_end"
ORDER = Order(prompt="an otter", size=(96, 64), partials=2, faults=("final-unlike-partial",))
BLOCKED = {"type": "error", "error": {"code": "moderation_blocked", "message": "It was rejected."}}
# Whether the page has these figures: the address of the picture and the text of each.
HAS = """expected => JSON.stringify(expected) === JSON.stringify(
  [...document.querySelectorAll("figure:not([hidden])")].map(
    (figure) => [figure.querySelector("img")?.getAttribute("src") ?? null, figure.textContent]))"""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    made = Site()
    program = runpy.run_path(str(PROGRAMS / "app.py"))
    made.gallery = program["gallery"]
    react = Route("/react", lambda _: HTMLResponse("<main></main><script src=react.js></script>"))
    script = Route("/react.js", lambda _: Response(bundled(), media_type="text/javascript"))
    made.start(Starlette(routes=[react, script, *program["app"].routes]))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


def bundled() -> bytes:
    command = [str(NODE_MODULES / ".bin/esbuild"), str(PROGRAMS / "react.jsx"), "--bundle", "--jsx=automatic"]
    environment = os.environ | {"NODE_PATH": str(NODE_MODULES)}
    return subprocess.run(command, env=environment, check=True, capture_output=True).stdout


HAS_REACT = all((NODE_MODULES / name).exists() for name in (".bin/esbuild", "react", "react-dom"))
WITH_REACT = pytest.mark.skipif(not HAS_REACT, reason="React is missing: npm install react react-dom esbuild axe-core")


@pytest.mark.parametrize("path", ["", pytest.param("react", marks=WITH_REACT)])
def test_a_page_of_ones_own_shows_previews_and_finals_until_their_stream_is_removed(
    site: Site, browser: Any, path: str
) -> None:
    late, stream = site.stream(ORDER, "late"), site.stream(ORDER)
    late.step()
    page, errors = browser.new_page(), list[str]()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(site.url + path)
    for caption in ("preview 1", "preview 2", "final"):
        assert stream.step()
        shown = [f"/pictures/{stream.shown}", f"an otter: {caption}"]
        page.wait_for_function(HAS, arg=[[f"/pictures/{late.shown}", "late: preview 1"], shown])
    page.wait_for_function("() => [...document.images].every((image) => image.naturalWidth === 96)")
    late.feed(BLOCKED)
    page.wait_for_function("() => document.images.length === 1")
    site.gallery.remove("late")
    page.wait_for_function(HAS, arg=[shown])
    site.gallery.add("refused", refused := Assembler())
    refused.feed(BLOCKED)
    refused.close()
    page.wait_for_function(HAS, arg=[shown, [None, "refused: blocked (moderation_blocked): It was rejected."]])
    site.gallery.remove("refused")
    page.wait_for_function(HAS, arg=[shown])
    site.gallery.remove("an otter")
    page.wait_for_function(HAS, arg=[])
    assert errors == []
    page.close()


def test_the_page_of_the_documentation_is_made_from_the_programs() -> None:
    page = runpy.run_path(str(DOCS / "own_front_end.py"))["page"]()
    assert page == (DOCS / "own_front_end.md").read_text(), "run: python docs/own_front_end.py"
    for name in ("vanilla.html", "react.jsx"):
        assert len((PROGRAMS / name).read_text().splitlines()) <= 36
