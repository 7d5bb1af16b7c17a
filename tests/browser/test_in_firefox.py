"""The live page in a real Firefox: previews, the keyboard, narrow screens, dark systems, accessibility."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("starlette", reason="the page needs the extra web: pip install 'imgassemble[web]'")
pytest.importorskip("uvicorn", reason="the page needs the extra web: pip install 'imgassemble[web]'")

from browser.firefox import Firefox, firefox
from browser.stage import AXE, Site
from imgassemble.simulator import Order

SMALL = (96, 64)
OTTER = Order(prompt="an otter", size=SMALL, partials=3, faults=("final-unlike-partial",))
SHOWN = "document.querySelector('.tile .picture img:only-child')?.getAttribute('src') === '%s'"
ENLARGED = "document.querySelector('dialog[open] .chosen')?.getAttribute('src') === '%s'"


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module", params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def browser(scheme: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    with firefox(tmp_path_factory.mktemp("firefox"), is_dark=scheme == "dark") as running:
        yield running


@pytest.mark.parametrize("scheme", ["light"], indirect=True)
def test_previews_and_the_final_are_shown_and_the_keyboard_is_enough(site: Site, browser: Firefox) -> None:
    stream = site.stream(OTTER)
    browser.open(site.url)
    while stream.step():
        browser.wait_for(SHOWN % stream.shown)
    stream.finish()
    browser.wait_for("document.querySelector('.badge').textContent === 'Final'")
    browser.press("Tab")
    assert browser.evaluate("document.activeElement.className") == "enlarge"
    browser.press("Enter")
    browser.wait_for(ENLARGED % stream.original)
    browser.wait_for("document.querySelector('.chosen').naturalWidth === 96")
    browser.press("ArrowLeft")
    browser.wait_for(ENLARGED % stream.frames[-2]["url"])
    browser.press("Tab", "Home")
    browser.wait_for("getComputedStyle(document.querySelector('.newest')).clipPath.endsWith('0%)')")
    browser.press("Escape")
    browser.wait_for("!document.querySelector('dialog').open && document.activeElement.className === 'enlarge'")


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is missing: npm install axe-core in tests/browser")
def test_the_page_has_the_colours_of_the_system_and_is_accessible(site: Site, browser: Firefox, scheme: str) -> None:
    for fault in ("error-nested", "moderation-stream", "wrong-format"):
        site.stream(Order(prompt=fault, size=SMALL, faults=(fault,))).finish()
    site.stream(OTTER).finish()
    site.stream(OTTER, "waiting")
    browser.open(site.url, width=390, height=844)
    browser.wait_for("document.querySelectorAll('.tile').length === 5")
    browser.wait_for(
        "[...document.querySelectorAll('.has-frames')].every(tile => tile.querySelector('img:only-child'))"
    )
    colours = browser.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)")
    assert max(colours) < 60 if scheme == "dark" else min(colours) > 200
    assert browser.evaluate("document.documentElement.scrollWidth") <= 390
    browser.evaluate(f"(() => {{ {AXE.read_text('utf-8')} }})()")
    found = browser.evaluate(
        "axe.run().then(({violations}) => violations.map(({id, nodes}) => [id, nodes.map(n => n.html)]))"
    )
    assert found == []
