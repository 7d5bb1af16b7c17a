"""The live page in a real browser: which picture is shown when, and that text from outside stays text.

A test feeds a stream event by event and waits for the expected page. It needs playwright and a Chromium:
pip install playwright; apt-get install chromium.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import pytest
import samples
from PIL import Image

from imgassemble import Assembler, Limits
from imgassemble.simulator import Order, base64_text, pictures_of

pytest.importorskip("starlette", reason="the page needs the extra web: pip install 'imgassemble[web]'")
pytest.importorskip("uvicorn", reason="the page needs the extra web: pip install 'imgassemble[web]'")
pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install playwright")

from starlette.applications import Starlette
from starlette.routing import Mount

from browser.stage import AXE, Site, Viewer, chromium
from imgassemble.web import Gallery, create_app, everyone
from imgassemble.web.server import guarded_page

SMALL = (96, 64)
OTTER = Order(
    prompt="an otter", size=SMALL, partials=3, faults=("final-unlike-partial",)
)  # the final differs from the last preview
DRAFT = Order(prompt="a field", size=SMALL, faults=("no-final",), dialect="openai-2025")
HOSTILE = (
    "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>",
    "an \u202egnp.retto\u202c \u2066isolated",
    "“quoted” & 'quoted' \x00\x1b[31m",
    "a" * 1_500,
    "very long " * 150,
    "العربية",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def view(browser: Any, site: Site) -> Iterator[Callable[..., Viewer]]:
    viewers: list[Viewer] = []

    def open_page(path: str | None = "", **options: Any) -> Viewer:
        viewers.append(Viewer(browser.new_context(**options), site.url))
        if path is not None:
            viewers[-1].page.goto(site.url + path)
        return viewers[-1]

    yield open_page
    for viewer in viewers:
        viewer.context.close()
        viewer.check()


View = Callable[..., Viewer]


# ---- opening the page


def test_a_link_with_a_token_works_from_another_site(browser: Any, site: Site) -> None:
    links: list[str] = []
    site.stop()
    site.start(guarded_page(site.gallery, "0.0.0.0", link=links.append))
    site.stream(OTTER)
    context = browser.new_context()
    try:
        page = context.new_page()
        link = f'<a href="{site.url}?token={links[-1]}">the page</a>'
        page.route("http://elsewhere.example/", lambda route: route.fulfill(body=link, content_type="text/html"))
        page.goto("http://elsewhere.example/")
        page.get_by_text("the page").click()
        page.wait_for_selector(".tile")
        assert page.url == site.url
        assert page.evaluate("document.referrer") == ""
        assert page.reload().status == 200
    finally:
        context.close()


# ---- previews


def test_an_empty_page_says_that_it_is_waiting(view: View) -> None:
    viewer = view()
    assert "is waiting for a stream" in viewer.page.locator("#empty").inner_text()
    assert viewer.page.locator(".tile").count() == 0


def test_a_stream_without_items_has_a_waiting_tile(site: Site, view: View) -> None:
    viewer = view()
    site.stream(OTTER)
    viewer.wait_for_tiles(1)
    assert viewer.text(".name") == "an otter"
    assert viewer.text(".badge") == "Waiting"
    assert viewer.text(".caption") == "waiting for the first preview"
    assert not viewer.page.locator("#empty").is_visible()


@pytest.mark.parametrize("is_sized", [True, False], ids=["size known", "size unknown"])
def test_previews_appear_in_order_and_move_nothing(site: Site, view: View, is_sized: bool) -> None:
    stream, others = site.stream(OTTER, is_sized=is_sized), [site.stream(OTTER, f"another {at}") for at in range(5)]
    viewer = view(viewport={"width": 1280, "height": 800})
    viewer.wait_for_tiles(6)
    expected = []
    while stream.step():
        expected.append(stream.shown)
        viewer.wait_for_picture(stream.shown)
    stream.finish()
    viewer.wait_for_text(".badge", "Final")
    assert len(expected) == 4
    assert viewer.evaluate("window.shown") == expected
    assert viewer.evaluate("window.moved") < 0.01
    assert len(others) == 5


TOPS = "[...document.querySelectorAll('.tile')].map(tile => tile.getBoundingClientRect().top + scrollY).join()"


@pytest.mark.parametrize("width", [1280, 360])
def test_no_tile_moves_another_until_its_end(site: Site, view: View, width: int) -> None:
    now = 0.0
    site.clock = lambda: now
    name = "a long name that is just too"
    streams = [site.stream(OTTER, f"{name} {at}") for at in range(6)]
    streams.append(site.stream(DRAFT, "at the end"))
    viewer = view(viewport={"width": width, "height": 800})
    viewer.wait_for_tiles(7)
    tops = viewer.evaluate(TOPS)
    now = 88.8  # the longest text that seconds can have
    for at, stream in enumerate(streams):
        while stream.step():
            assert viewer.evaluate(TOPS) == tops
        stream.finish()
        viewer.wait_for_text(".badge", "Draft" if at == 6 else "Final", at)
        assert viewer.evaluate(TOPS) == tops


def test_each_picture_has_its_name(site: Site, view: View) -> None:
    stream, viewer = site.stream(OTTER), view()
    said = []
    while stream.step():
        viewer.wait_for_picture(stream.shown)
        said.append((viewer.text(".badge"), viewer.tile().locator("img").get_attribute("alt")))
    assert [badge for badge, _ in said] == ["Preview", "Preview", "Preview", "Final"]
    assert [alt.replace("\u2068", "").replace("\u2069", "") for _, alt in said] == [
        "preview 1 of “an otter”",
        "preview 2 of “an otter”",
        "preview 3 of “an otter”",
        "final picture of “an otter”",
    ]


def test_a_final_with_the_bytes_of_the_last_preview_is_called_the_final(site: Site, view: View) -> None:
    stream, viewer = site.stream(Order(prompt="an otter", size=SMALL, faults=("final-equals-partial",))), view()
    stream.step()
    viewer.wait_for_picture(stream.shown)
    stream.finish()
    viewer.wait_for_text(".badge", "Final")
    viewer.wait_for_picture(stream.shown)
    assert viewer.text(".at").startswith("final")
    assert "final picture" in viewer.tile().locator("img").get_attribute("alt")
    assert viewer.tile().locator(".dots i").last.get_attribute("class") == "final"


def test_a_preview_that_loads_slowly_is_not_shown_after_a_newer_one(site: Site, view: View) -> None:
    stream, viewer = site.stream(OTTER), view()
    stream.step()
    first = stream.shown
    viewer.wait_for_picture(first)
    held: list[Any] = []
    viewer.page.route("**/frames/**", lambda route: route.continue_() if held else held.append(route))
    with viewer.page.expect_request("**/frames/**"):
        stream.step()
    with viewer.page.expect_event("requestfailed"):  # it is cancelled as soon as the newer one is decoded
        stream.step()
        viewer.wait_for_picture(stream.shown)
    assert viewer.evaluate("window.shown") == [first, stream.shown]
    assert len(held) == 1
    viewer.page.unroute_all(behavior="ignoreErrors")


def test_pictures_in_quick_succession_do_not_flicker(site: Site, view: View) -> None:
    stream, viewer = site.stream(OTTER), view()
    stream.step()
    viewer.wait_for_picture(stream.shown)
    viewer.evaluate(
        """() => {
          window.light = [1, 1];
          const look = () => {
            const images = [...document.querySelectorAll(".picture img")];
            const light = images.reduce((sum, each) => sum + Number(getComputedStyle(each).opacity), 0);
            window.light = [Math.min(window.light[0], light), Math.max(window.light[1], light)];
            requestAnimationFrame(look);
          };
          look();
        }"""
    )
    for index in (2, 3, 4):
        stream.step()
        viewer.wait_for("n => document.querySelectorAll('.dots i').length === n", index)
    viewer.wait_for_picture(stream.shown)
    darkest, brightest = viewer.evaluate("window.light")
    assert darkest > 0.97
    assert brightest < 1.03


def test_a_picture_that_the_browser_cannot_decode_does_not_replace_the_one_before(site: Site, view: View) -> None:
    stream, viewer = site.stream(OTTER), view()
    stream.step()
    viewer.wait_for_picture(stream.shown)
    first = stream.shown
    viewer.page.route("**/frames/**", lambda route: route.fulfill(body=b"no picture", content_type="image/png"))
    stream.step()
    viewer.wait_for_text(".caption", "This browser cannot show this picture.")
    assert viewer.evaluate("window.shown") == [first]
    viewer.page.unroute_all(behavior="wait")
    stream.step()
    viewer.wait_for_picture(stream.shown)
    viewer.wait_for_text(".caption", "")


# ---- ends


def test_the_final_replaces_the_draft(site: Site, view: View) -> None:
    stream, viewer = site.stream(DRAFT), view()
    stream.play_on()
    viewer.wait_for_text(".badge", "Draft")
    viewer.wait_for_picture(draft := stream.shown)
    stream.feed(late_result(stream.items[0]["id"]))
    viewer.wait_for_text(".badge", "Final")
    viewer.wait_for_picture(stream.shown)
    assert viewer.evaluate("window.shown")[-2:] == [draft, stream.shown]
    assert viewer.text(".at").startswith("final")


def late_result(item_id: str) -> dict[str, Any]:
    result = base64_text(pictures_of(OTTER)[0].result)
    item = {"type": "image_generation_call", "id": item_id, "status": "completed", "result": result}
    return {"type": "response.output_item.done", "output_index": 0, "sequence_number": 1_000, "item": item}


def test_a_draft_without_a_result_is_called_a_draft(site: Site, view: View) -> None:
    stream, viewer = site.stream(DRAFT), view()
    stream.finish()
    viewer.wait_for_picture(stream.shown)
    assert viewer.text(".badge") == "Draft"
    assert viewer.text(".at").startswith("draft")
    assert viewer.tile().locator(".dots i").last.get_attribute("class") == "draft"
    assert viewer.tile().locator(".save").get_attribute("download") == "a-field-draft.png"
    viewer.tile().locator("summary").click()
    assert "no final picture came" in viewer.tile().locator(".notes li").inner_text()


def test_a_failure_is_described_beside_the_last_preview(site: Site, view: View) -> None:
    stream, viewer = site.stream(Order(prompt="a harbour", size=SMALL, faults=("error-nested",))), view()
    stream.finish()
    viewer.wait_for_text(".badge", "Failed")
    viewer.wait_for_picture(stream.shown)
    assert viewer.text(".at").startswith("preview 3")
    viewer.tile().locator("summary").click()
    assert "server_error" in viewer.tile().locator(".notes li").inner_text()


def test_a_failure_without_a_picture_is_described_in_its_place(site: Site, view: View) -> None:
    site.stream(Order(prompt="forbidden", size=SMALL, faults=("moderation-stream",))).finish()
    viewer = view()
    viewer.wait_for_text(".badge", "Blocked")
    assert viewer.text(".caption").strip() == "The service refused to make this picture."
    viewer.tile().locator("summary").click()
    assert "moderation_blocked" in viewer.tile().locator(".notes li").inner_text()
    assert not viewer.tile().locator(".save").is_visible()


def test_the_previews_of_a_blocked_image_disappear(site: Site, view: View) -> None:
    stream, viewer = site.stream(OTTER), view()
    stream.step()
    viewer.wait_for_picture(stream.shown)
    stream.feed({"type": "error", "error": {"code": "moderation_blocked", "message": "It was rejected."}})
    viewer.wait_for_text(".badge", "Blocked")
    assert viewer.text(".caption").strip() == "The service refused to make this picture."
    assert "its previews are hidden" in viewer.text(".notes li")
    assert viewer.tile().locator("img").count() == 0
    assert not viewer.tile().locator(".save").is_visible()
    assert "so far" not in viewer.text(".times")


class ClientError(Exception):
    """An exception of a client, which carries the error of the service."""

    def __init__(self, code: str) -> None:
        super().__init__(f"Error code: {code}")
        self.body = {"code": code, "message": "The service says no."}


@pytest.mark.parametrize(
    ("error", "badge", "caption", "reason"),
    [
        (
            ClientError("moderation_blocked"),
            "Blocked",
            "The service refused to make this picture.",
            "blocked (moderation_blocked): The service says no.",
        ),
        (
            ClientError("rate_limit_exceeded"),
            "Failed",
            "This picture could not be made.",
            "failed: the service failed (rate_limit_exceeded): The service",
        ),
        (
            OSError("reset by peer"),
            "Incomplete",
            "This picture was not finished.",
            "incomplete: the stream was cut: OSError: reset by peer; what came is kept",
        ),
    ],
    ids=["400", "429", "cut"],
)
def test_a_stream_that_fails_before_its_first_event_stops_waiting(
    site: Site, view: View, error: Exception, badge: str, caption: str, reason: str
) -> None:
    stream, viewer = site.stream(OTTER), view()
    viewer.wait_for_text(".badge", "Waiting")
    viewer.wait_for("() => document.querySelector('.times').textContent.endsWith('so far')")
    stream.fail(error)
    viewer.wait_for_text(".badge", badge)
    assert viewer.text(".caption").strip() == caption
    assert viewer.text("summary") == "What went wrong"
    assert viewer.text(".notes li").startswith(reason)
    assert viewer.text(".times") == ""
    assert viewer.page.locator("#count").text_content() == "1 picture"


def test_the_failure_of_a_stream_whose_items_are_whole_has_a_tile(site: Site, view: View) -> None:
    stream, viewer = site.stream(OTTER), view()
    stream.feed(samples.created())
    stream.feed(samples.done(content=samples.png()))
    stream.fail(ClientError("server_error"))
    viewer.wait_for_tiles(2)
    assert viewer.page.locator(".badge").all_text_contents() == ["Final", "Failed"]


def test_a_picture_that_is_no_result_says_so_on_itself(site: Site, view: View) -> None:
    stream, viewer = site.stream(OTTER), view()
    stream.step()
    stream.fail(ConnectionResetError("reset by peer"))
    viewer.wait_for_text(".badge", "Draft")
    viewer.wait_for("() => document.querySelector('.caption').textContent.trim().startsWith('This is only a draft')")
    assert viewer.tile().locator(".caption").is_visible()
    assert "saturate" in viewer.evaluate("getComputedStyle(document.querySelector('.picture')).filter")


def test_the_seconds_are_counted_while_a_stream_goes_on(site: Site, view: View) -> None:
    site.stream(OTTER)
    viewer = view()
    viewer.wait_for_tiles(1)
    viewer.wait_for("() => /^[1-9]\\d*\\u00a0s so far$/.test(document.querySelector('.times').textContent)")


def test_the_title_of_a_stream_is_shown_in_place_of_its_name(site: Site, view: View) -> None:
    site.gallery.add("job-17", title="an otter <b>on</b> a lake")
    viewer = view()
    viewer.wait_for_text(".name", "an otter <b>on</b> a lake")


def test_a_stream_that_ends_without_an_item_shows_its_outcome(site: Site, view: View) -> None:
    stream, viewer = site.stream(Order(prompt="a refusal", size=SMALL, faults=("refusal",))), view()
    viewer.wait_for_tiles(1)
    stream.finish()
    viewer.wait_for_text(".badge", "No picture")
    assert viewer.text(".caption").strip() == "No picture came."
    assert viewer.text(".notes li").startswith("no image: the service answered")


def test_anomalies_are_shown_as_notes(site: Site, view: View) -> None:
    stream, viewer = site.stream(Order(prompt="odd", size=SMALL, faults=("wrong-format",))), view()
    stream.finish()
    viewer.wait_for_text("summary", "4 notes")
    viewer.tile().locator("summary").click()
    first = viewer.tile().locator(".notes li").first.inner_text()
    assert "is PNG and not webp" in first
    assert stream.items[0]["id"] not in viewer.page.locator("body").inner_text()


def test_only_new_ends_are_announced(site: Site, view: View) -> None:
    site.stream(OTTER, "before").finish()
    stream, viewer = site.stream(OTTER), view()
    viewer.wait_for_tiles(2)
    said = "() => document.querySelector('[aria-live]').textContent.replace(/[\\u2068\\u2069]/g, '')"
    while stream.step():
        viewer.wait_for_picture(stream.shown, at=1)
        if not stream.items[0]["has_final"]:
            assert viewer.evaluate(said) == ""
    viewer.wait_for("() => document.querySelector('[aria-live]').textContent !== ''")
    assert viewer.evaluate(said) == "The final picture of “an otter” has arrived."


def test_the_seconds_until_the_first_preview_and_the_final_are_shown(site: Site, view: View) -> None:
    stream, viewer = site.stream(OTTER), view()
    stream.step()
    stream.finish()
    viewer.wait_for_text(".badge", "Final")
    assert re.search(r"final \d+\.\d\u00a0s$", viewer.text(".times"))


# ---- late viewers, earlier frames, lost connections


def test_a_late_viewer_sees_the_present_state(site: Site, view: View) -> None:
    stream = site.stream(OTTER)
    stream.finish()
    waiting = site.stream(OTTER, "another")
    waiting.step()
    viewer = view()
    viewer.wait_for_picture(stream.shown)
    viewer.wait_for_picture(waiting.shown, at=1)
    assert viewer.evaluate("window.shown.length") == 2
    assert [viewer.text(".badge", at) for at in range(2)] == ["Final", "Preview"]
    assert viewer.tile().locator("input").get_attribute("max") == "3"


def test_an_earlier_frame_stays_chosen(site: Site, view: View) -> None:
    stream, viewer = site.stream(OTTER), view()
    stream.step()
    first = stream.shown
    stream.step()
    viewer.wait_for_picture(stream.shown)
    viewer.tile().locator("input").press("ArrowLeft")
    viewer.wait_for_picture(first)
    stream.finish()
    viewer.wait_for_text(".at", "preview 1 · 3 newer")
    viewer.wait_for_picture(first)
    assert viewer.text(".badge") == "Final"
    viewer.tile().locator("input").press("End")
    viewer.wait_for_picture(stream.shown)


def test_a_removed_stream_disappears(site: Site, view: View) -> None:
    streams = [site.stream(OTTER), site.stream(OTTER, "another")]
    viewer = view()
    for at, stream in enumerate(streams):
        stream.finish()
        viewer.wait_for_picture(stream.shown, at=at)
    site.gallery.remove("an otter")
    viewer.wait_for_tiles(1)
    assert viewer.text(".name") == "another"


def test_the_page_recovers_when_another_process_serves_it(site: Site, view: View) -> None:
    site.stream(OTTER).finish()
    viewer = view()
    viewer.allowed = re.compile("ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_EMPTY_RESPONSE|RESET")
    viewer.wait_for_text(".badge", "Final")
    site.stop()
    viewer.wait_for_text("#connection", "Connection lost. Trying again…")
    site.gallery = Gallery()
    same, other = site.stream(OTTER), site.stream(OTTER, "another")
    other.step()
    site.start()
    viewer.wait_for_text("#connection", "")
    viewer.wait_for_picture(other.shown, at=1)
    viewer.wait_for_text(".badge", "Waiting")
    assert viewer.tile().locator("img").count() == 0
    same.step()
    viewer.wait_for_picture(same.shown)


def test_the_page_becomes_empty_when_another_process_has_no_streams(site: Site, view: View) -> None:
    site.stream(OTTER)
    viewer = view()
    viewer.allowed = re.compile("ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_EMPTY_RESPONSE|RESET")
    viewer.wait_for_tiles(1)
    site.stop()
    viewer.wait_for_text("#connection", "Connection lost. Trying again…")
    site.gallery = Gallery()
    site.start()
    viewer.wait_for_tiles(0)
    viewer.wait_for("() => !document.querySelector('#empty').hidden")


def test_the_page_recovers_when_the_same_process_answers_again(site: Site, view: View) -> None:
    stream, viewer = site.stream(OTTER), view()
    viewer.allowed = re.compile("ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_EMPTY_RESPONSE|RESET")
    stream.step()
    viewer.wait_for_picture(first := stream.shown)
    site.stop()
    viewer.wait_for_text("#connection", "Connection lost. Trying again…")
    stream.step()
    site.start()
    viewer.wait_for_picture(stream.shown)
    assert viewer.evaluate("window.shown") == [first, stream.shown]


def test_the_page_tries_again_after_an_answer_that_is_no_event_stream(site: Site, view: View) -> None:
    site.stream(OTTER)
    viewer = view(None)
    viewer.allowed = re.compile("503")
    answers = iter([503])

    def answer(route: Any) -> None:
        status = next(answers, None)
        if status:
            route.fulfill(status=status)
        else:
            route.continue_()

    viewer.page.route("**/events", answer)
    viewer.page.goto(site.url)
    viewer.wait_for_text("#connection", "Connection lost. Trying again…")
    viewer.wait_for_tiles(1)
    viewer.wait_for_text("#connection", "")


def test_the_page_works_under_any_prefix(site: Site, view: View) -> None:
    site.stop()
    site.start(Starlette(routes=[Mount("/some/pictures", create_app(site.gallery, authorize=everyone))]))
    stream, viewer = site.stream(OTTER), view("some/pictures/")
    stream.step()
    viewer.wait_for_picture(stream.shown)


# ---- many items, narrow screens, dark systems


def test_thirty_items_at_once_get_their_finals_in_order(site: Site, view: View) -> None:
    streams = [site.stream(OTTER, f"picture {at}") for at in range(30)]
    viewer = view(viewport={"width": 1280, "height": 800})
    viewer.wait_for_tiles(30)
    going = streams
    while going:
        going = [stream for stream in going if stream.step()]
    for stream in streams:
        stream.finish()
    for at, stream in enumerate(streams):
        viewer.wait_for_picture(stream.shown, at)
    assert viewer.page.locator(".name").all_text_contents() == [f"picture {at}" for at in reversed(range(30))]
    assert viewer.evaluate("window.moved") < 0.01
    assert viewer.page.locator("#count").text_content() == "30 pictures"


def test_the_items_of_a_stream_are_side_by_side(site: Site, view: View) -> None:
    site.stream(Order(prompt="two islands", size=SMALL, items=2)).finish()
    site.stream(OTTER).finish()
    viewer = view()
    viewer.wait_for_tiles(3)
    assert viewer.page.locator(".name").all_text_contents() == ["an otter", "two islands", "two islands"]
    assert viewer.page.locator(".place").all_text_contents() == ["", "1 of 2", "2 of 2"]
    assert viewer.tile(0).locator(".save").get_attribute("download") == "two-islands-2-final.png"


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_is_wider_than_the_screen(site: Site, view: View, width: int) -> None:
    for at, name in enumerate(HOSTILE):
        site.stream(OTTER, f"{name}{at}").finish()
    viewer = view(viewport={"width": width, "height": 740})
    viewer.wait_for_tiles(len(HOSTILE))
    assert viewer.evaluate("document.documentElement.scrollWidth") <= width


def test_the_page_is_dark_on_a_dark_system(site: Site, view: View) -> None:
    script = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
    dark, light = view(color_scheme="dark").evaluate(script), view(color_scheme="light").evaluate(script)
    assert max(dark) < 60
    assert min(light) > 200


def test_nothing_fades_with_reduced_motion(site: Site, view: View) -> None:
    stream, viewer = site.stream(OTTER), view(reduced_motion="reduce")
    viewer.wait_for_tiles(1)
    while stream.step():
        viewer.wait_for_picture(stream.shown)
        running = "document.getAnimations().filter((each) => each.effect.getComputedTiming().duration > 0).length"
        assert viewer.evaluate(running) == 0


# ---- keyboard and accessibility


def test_the_keyboard_alone_is_enough(site: Site, view: View) -> None:
    stream, viewer = site.stream(OTTER), view()
    stream.finish()
    viewer.wait_for_picture(stream.shown)
    keyboard = viewer.page.keyboard
    keyboard.press("Tab")
    assert viewer.evaluate("document.activeElement.className") == "enlarge"
    keyboard.press("Tab")
    assert viewer.evaluate("document.activeElement.type") == "range"
    assert viewer.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    keyboard.press("ArrowLeft")
    keyboard.press("ArrowLeft")
    frame = stream.frames[1]
    viewer.wait_for_picture(frame["small_url"])
    assert viewer.evaluate("document.activeElement.getAttribute('aria-valuetext')") == "preview 2 · 2 newer"
    keyboard.press("Tab")
    with viewer.page.expect_download() as coming:
        keyboard.press("Enter")
    assert coming.value.suggested_filename == "an-otter-preview-2.png"
    assert len(Path(coming.value.path()).read_bytes()) == frame["bytes"]


ENLARGED = "() => document.querySelector('dialog[open] .chosen')?.getAttribute('src') === %r"


def test_a_picture_is_enlarged_and_left_by_the_keyboard(site: Site, view: View) -> None:
    older, stream, viewer = site.stream(OTTER, "older"), site.stream(OTTER), view()
    older.finish()
    stream.step()
    stream.step()
    viewer.wait_for_picture(stream.shown, at=1)
    keyboard = viewer.page.keyboard
    keyboard.press("Tab")
    assert "Enlarge preview 2" in viewer.evaluate("document.activeElement.getAttribute('aria-label')")
    keyboard.press("Enter")
    viewer.wait_for(ENLARGED % stream.original)
    stream.step()
    viewer.wait_for(ENLARGED % stream.original)  # the newest is followed
    keyboard.press("ArrowLeft")
    viewer.wait_for(ENLARGED % stream.frames[1]["url"])
    assert "preview 2" in str(viewer.page.locator(".words").text_content())
    stream.finish()
    viewer.wait_for_text(".badge", "Final", at=1)
    viewer.wait_for(ENLARGED % stream.frames[1]["url"])  # a chosen one stays
    keyboard.press("ArrowDown")
    viewer.wait_for(ENLARGED % older.original)
    keyboard.press("ArrowUp")
    keyboard.press("Escape")
    viewer.wait_for("() => !document.querySelector('dialog').open")
    assert viewer.evaluate("document.activeElement.className") == "enlarge"


def test_an_enlarged_picture_closes_with_its_stream(site: Site, view: View) -> None:
    stream, viewer = site.stream(OTTER), view()
    stream.step()
    viewer.wait_for_picture(stream.shown)
    viewer.tile().locator(".enlarge").click()
    viewer.wait_for(ENLARGED % stream.original)
    check_nothing_is_wider(viewer)
    stream.feed({"type": "error", "error": {"code": "moderation_blocked", "message": "It was rejected."}})
    viewer.wait_for("() => !document.querySelector('dialog').open")


def test_a_slider_compares_a_preview_with_the_final(site: Site, view: View) -> None:
    stream, viewer = site.stream(OTTER), view()
    stream.finish()
    viewer.wait_for_picture(stream.shown)
    viewer.tile().locator(".enlarge").press("Enter")
    keyboard, compare = viewer.page.keyboard, viewer.page.locator("dialog .compare input")
    viewer.wait_for(ENLARGED % stream.original)
    assert not compare.is_visible()
    keyboard.press("ArrowLeft")
    viewer.wait_for(ENLARGED % stream.frames[-2]["url"])
    keyboard.press("Tab")
    assert viewer.evaluate("document.activeElement.getAttribute('aria-label')") == "Compare preview 3 with final"
    keyboard.press("Home")
    for _ in range(25):
        keyboard.press("ArrowRight")
    assert viewer.page.locator("dialog .newest").get_attribute("src") == stream.original
    clips = [viewer.page.locator(name).evaluate("e => getComputedStyle(e).clipPath") for name in (".chosen", ".newest")]
    assert clips == ["inset(0px 75% 0px 0px)", "inset(0px 0px 0px 25%)"]
    check_nothing_is_wider(viewer)


def check_nothing_is_wider(viewer: Viewer) -> None:
    assert viewer.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.skipif(
    not AXE.is_file(),
    reason="axe-core is missing: npm install axe-core in tests/browser, or name its axe.min.js in IMGASSEMBLE_AXE",
)
def test_the_page_is_accessible(site: Site, view: View, scheme: str) -> None:
    viewer = view(color_scheme=scheme, reduced_motion="reduce")
    check_with_axe(viewer)
    orders = (OTTER, DRAFT, *(Order(prompt=fault, size=SMALL, faults=(fault,)) for fault in TROUBLES))
    for order in orders:
        site.stream(order).finish()
    site.stream(Order(prompt="two", items=2, size=SMALL)).finish()
    site.stream(OTTER, "waiting")
    site.stream(OTTER, "going on").step()
    viewer.wait_for_tiles(len(orders) + 4)
    for summary in viewer.page.locator(".notes:not(.is-idle) summary").all():
        summary.click()
    check_with_axe(viewer)
    viewer.page.locator(".enlarge:visible").last.press("Enter")
    viewer.page.keyboard.press("ArrowLeft")
    assert viewer.page.locator("dialog .compare").is_visible()
    check_with_axe(viewer)


TROUBLES = ("error-nested", "moderation-stream", "refusal", "wrong-format")


def check_with_axe(viewer: Viewer) -> None:
    viewer.evaluate(AXE.read_text("utf-8"))
    found = viewer.evaluate("axe.run()")
    told = [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]]
    assert told == [], json.dumps(told, indent=1)


# ---- text from outside


def test_hostile_names_are_shown_as_text(site: Site, view: View) -> None:
    for at, name in enumerate(HOSTILE):
        site.stream(Order(prompt="two", items=2, size=SMALL), f"{name}{at}").finish()
    viewer = view()
    viewer.wait_for_tiles(2 * len(HOSTILE))
    assert viewer.text(".name") == f"{HOSTILE[0]}0"
    assert viewer.text(".name", 2) == "an gnp.retto isolated1"
    assert viewer.page.title() == "imgassemble"
    assert viewer.page.locator("#tiles script, #tiles img:not(.picture img)").count() == 0


def test_hostile_ids_and_errors_are_shown_as_text(site: Site, view: View) -> None:
    stream, viewer = site.stream(OTTER, "hostile"), view()
    viewer.wait_for_tiles(1)
    for at, text in enumerate(HOSTILE):
        item = {"type": "image_generation_call", "id": f"{text}{at}", "status": "failed", "error": {"message": text}}
        stream.feed({"type": "response.output_item.done", "output_index": at, "sequence_number": at, "item": item})
    viewer.wait_for_tiles(len(HOSTILE))
    first = len(HOSTILE) - 1
    assert "<img src=x" in viewer.text(".notes li", first)
    assert viewer.page.title() == "imgassemble"
    assert viewer.page.locator("#tiles script, #tiles img, #announcer *").count() == 0


@pytest.mark.parametrize(
    ("name", "saved"),
    [
        ("../../etc/passwd", "etc-passwd-final.png"),
        ("...", "picture-final.png"),
        ("CON", "CON-final.png"),
        ("an \u202egnp.exe", "an-gnp-exe-final.png"),
        ("b" * 500, f"{'b' * 60}-final.png"),
    ],
)
def test_a_picture_is_saved_under_a_safe_name(site: Site, view: View, name: str, saved: str) -> None:
    site.stream(OTTER, name).finish()
    viewer = view()
    viewer.wait_for_text(".badge", "Final")
    with viewer.page.expect_download() as coming:
        viewer.tile().locator(".save").click()
    assert coming.value.suggested_filename == saved


def test_a_tile_loads_small_pictures_and_the_dialog_the_received_bytes(site: Site, view: View) -> None:
    stream, viewer = site.stream(Order(prompt="an otter", size=(1024, 1024), partials=1)), view()
    loaded: dict[str, int] = {}
    viewer.page.on("response", lambda answer: loaded.update({answer.url: len(answer.body())}))
    stream.step()
    viewer.wait_for_picture(stream.shown)
    (small,) = [n_bytes for address, n_bytes in loaded.items() if "/frames/" in address]
    assert small < stream.frames[0]["bytes"] / 5
    assert viewer.evaluate("document.querySelector('.picture img').naturalWidth") == 512
    viewer.tile().locator(".enlarge").click()
    viewer.wait_for(ENLARGED % stream.original)
    viewer.wait_for("() => document.querySelector('.chosen').naturalWidth === 1024")


def animation(form: str) -> bytes:
    red, blue = (Image.frombytes("RGB", (192, 128), Random(seed).randbytes(3 * 192 * 128)) for seed in range(2))
    file = BytesIO()
    red.save(file, form, save_all=True, append_images=[blue], duration=100, loop=0, lossless=True)
    return file.getvalue()


@pytest.mark.parametrize("form", ["WEBP", "GIF", "PNG"])
def test_an_animation_is_shown_with_all_its_pictures(site: Site, view: View, form: str) -> None:
    viewer, data = view(), animation(form)
    assembler = Assembler()
    site.gallery.add("an otter", assembler)
    assembler.feed(samples.done(content=data))
    (_, frame, _) = (change.facts for change in site.gallery.changes()[1])
    viewer.wait_for_picture(frame["small_url"])
    shown = viewer.page.request.get(site.url + frame["small_url"])
    assert (len(data) > 24 * 1024, shown.body()) == (True, data)


def test_there_is_a_checkerboard_behind_transparency(site: Site, view: View) -> None:
    viewer = view(reduced_motion="reduce")
    file = BytesIO()
    Image.new("RGBA", SMALL, (0, 0, 0, 0)).save(file, "PNG")
    assembler = Assembler()
    site.gallery.add("an otter", assembler)
    assembler.feed(samples.done(content=file.getvalue()))
    (_, frame, _) = (change.facts for change in site.gallery.changes()[1])
    viewer.wait_for_picture(frame["small_url"])
    with Image.open(BytesIO(viewer.tile().locator(".picture").screenshot())) as image:
        colours = {colour for count, colour in image.convert("RGB").getcolors(99_999) or [] if count > 1_000}
    assert colours == {(0xF8, 0xF7, 0xF4), (0xE9, 0xE6, 0xE0)}


SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><script>document.title = "taken"</script>'
    b'<image href="http://elsewhere.example/x.png"/><rect width="8" height="8" style="fill: red"/></svg>'
)


def test_an_svg_is_shown_as_an_image_that_runs_and_loads_nothing(site: Site, view: View) -> None:
    viewer = view()
    assembler = Assembler(limits=Limits(formats=("PNG", "SVG")))
    site.gallery.add("an otter", assembler)
    assembler.feed(samples.done(content=SVG))
    (_, frame, _) = (change.facts for change in site.gallery.changes()[1])
    viewer.wait_for_picture(frame["small_url"])
    assert viewer.evaluate("document.querySelectorAll('svg, object, embed, iframe').length") == 0
    assert viewer.page.title() == "imgassemble"
    assert viewer.text(".times").startswith("final ")


def test_the_facts_of_a_picture_without_a_size_have_no_size(view: View) -> None:
    facts = "import('./static/sentences.js').then((sentences) => sentences.frameFacts(%s))"
    viewer = view()
    assert viewer.evaluate(facts % "{format: 'SVG', size: null, bytes: 120}") == "SVG, 120 bytes"
    assert viewer.evaluate(facts % "{format: 'SVG', size: [8, 9], bytes: 120}") == "SVG, 8\u00a0×\u00a09, 120 bytes"
