"""Small pictures of frames: what they show, that each is made once, and that the thread holds nothing up."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Awaitable, Iterator
from io import BytesIO
from random import Random
from typing import Any

import pytest
import samples
from PIL import Image

from imgassemble import Frame
from imgassemble.frames.containers import read_header
from imgassemble.web.small_pictures import SMALL_SIZE, ServedPicture, SmallPictures, as_it_is, make_small

NAME = "imgassemble-small"


def noise(width: int = 96, height: int = 96, mode: str = "RGB", seed: int = 1) -> Image.Image:
    """A picture that no format makes small."""
    return Image.frombytes("RGB", (width, height), Random(seed).randbytes(3 * width * height)).convert(mode)


def frame_of(image: Image.Image, form: str = "PNG", **options: Any) -> Frame:
    file = BytesIO()
    image.save(file, form, **options)
    return as_frame(file.getvalue())


def as_frame(data: bytes) -> Frame:
    header = read_header(data)
    return Frame(data=data, format=header.format, size=header.size)


def opened(picture: ServedPicture) -> Image.Image:
    image = Image.open(BytesIO(picture.data))
    image.load()
    return image


# ---- the pictures


@pytest.mark.parametrize(
    ("size", "small"), [((1024, 768), (512, 384)), ((60, 900), (34, 512)), ((200, 150), (200, 150))]
)
def test_a_small_picture_is_a_webp_of_at_most_512_pixels(size: tuple[int, int], small: tuple[int, int]) -> None:
    frame = frame_of(noise(*size))
    picture = make_small(frame)
    assert picture.mime_type == "image/webp"
    assert (opened(picture).format, opened(picture).size) == ("WEBP", small)
    assert len(picture.data) < len(frame.data)
    assert max(small) <= max(SMALL_SIZE)


def test_transparency_is_kept() -> None:
    image = noise(mode="RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 48, 96))
    small = opened(make_small(frame_of(image)))
    assert small.mode == "RGBA"
    assert [small.getpixel((x, 48))[3] for x in (10, 80)] == [0, 255]  # type: ignore[index]


def test_a_picture_that_is_small_already_is_sent_as_it_is() -> None:
    frame = as_frame(samples.png(300, 300))
    assert make_small(frame) == ServedPicture(frame.data, "image/png")


ANIMATIONS = ["PNG", "WEBP", "GIF", *(["AVIF"] if samples.has_avif() else [])]


@pytest.mark.parametrize("form", ANIMATIONS)
def test_an_animation_is_sent_as_it_is(form: str) -> None:
    frame = frame_of(noise(), form, save_all=True, append_images=[noise(seed=2)], duration=50, lossless=True)
    frame = as_frame(frame.data + bytes(30_000))  # larger than what is sent as it is in any case
    assert make_small(frame) == as_it_is(frame)


def test_a_drawing_is_sent_as_it_is() -> None:
    drawing = b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8">' + b"<g/>" * 9_000 + b"</svg>"
    assert make_small(as_frame(drawing)) == ServedPicture(drawing, "image/svg+xml")


def test_a_picture_that_cannot_be_decoded_is_sent_as_it_is() -> None:
    data = bytearray(frame_of(noise(256, 256)).data)
    data[9_000:9_100] = bytes(100)
    assert make_small(as_frame(bytes(data))).data == data


def test_a_picture_that_would_become_larger_is_sent_as_it_is() -> None:
    frame = frame_of(noise(300, 300), "JPEG", quality=40)
    assert make_small(frame) == as_it_is(frame)


# ---- many requests


class Workshop:
    """Makes pictures, one at a time, when a test allows it."""

    def __init__(self, n_bytes: int = 100) -> None:
        self.made: list[Frame] = []
        self.has_begun, self.may_end = threading.Semaphore(0), threading.Semaphore(0)
        self._n_bytes = n_bytes

    def __call__(self, frame: Frame) -> ServedPicture:
        self.has_begun.release()
        assert self.may_end.acquire(timeout=30)
        self.made.append(frame)
        return ServedPicture(bytes(self._n_bytes), "image/webp")

    async def begins(self) -> None:
        assert await asyncio.to_thread(self.has_begun.acquire, timeout=30)


FRAME = as_frame(samples.png())


def run(scene: Awaitable[None]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(scene, 30)

    asyncio.run(limited())


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    gc.collect()
    for thread in threads():
        thread.join(30)
    assert not threads()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == NAME]


def test_a_picture_is_made_once_for_many_requests() -> None:
    workshop = Workshop()
    small = SmallPictures(make=workshop)

    async def scene() -> None:
        requests = [asyncio.ensure_future(small.of("one", FRAME)) for _ in range(50)]
        await workshop.begins()
        workshop.may_end.release()
        pictures = await asyncio.gather(*requests)
        pictures.append(await small.of("one", FRAME))
        assert len({id(picture) for picture in pictures}) == 1

    run(scene())
    assert len(workshop.made) == 1


def test_requests_in_several_event_loops_share_a_picture() -> None:
    workshop = Workshop()
    small, pictures = SmallPictures(make=workshop), []

    def ask() -> None:
        pictures.append(asyncio.run(small.of("one", FRAME)))

    asking = [threading.Thread(target=ask) for _ in range(5)]
    for thread in asking:
        thread.start()
    workshop.may_end.release()
    for thread in asking:
        thread.join(30)
    assert len(pictures) == 5
    assert len(workshop.made) == 1


def test_a_viewer_that_leaves_cancels_no_picture_of_another() -> None:
    workshop = Workshop()
    small = SmallPictures(make=workshop)

    async def scene() -> None:
        first = asyncio.ensure_future(small.of("first", FRAME))
        await workshop.begins()
        leaving, staying = (asyncio.ensure_future(small.of("second", FRAME)) for _ in range(2))
        await asyncio.sleep(0)
        leaving.cancel()
        workshop.may_end.release(2)
        assert await first
        assert await staying
        assert leaving.cancelled()

    run(scene())
    assert len(workshop.made) == 2


def test_a_picture_for_which_no_request_waits_any_more_is_not_made() -> None:
    workshop = Workshop()
    small = SmallPictures(make=workshop)

    async def scene() -> None:
        first = asyncio.ensure_future(small.of("first", FRAME))
        await workshop.begins()
        leaving = [asyncio.ensure_future(small.of("second", FRAME)) for _ in range(2)]
        await asyncio.sleep(0)
        for request in leaving:
            request.cancel()
        await asyncio.wait(leaving)
        workshop.may_end.release()
        await first
        workshop.may_end.release()
        assert await small.of("third", FRAME)
        assert len(workshop.made) == 2
        workshop.may_end.release()
        assert await small.of("second", FRAME)  # another request gets it

    run(scene())


def test_a_picture_that_was_begun_is_kept_although_its_viewer_has_left() -> None:
    workshop = Workshop()
    small = SmallPictures(make=workshop)

    async def scene() -> None:
        leaving = asyncio.ensure_future(small.of("one", FRAME))
        await workshop.begins()
        leaving.cancel()
        await asyncio.wait([leaving])
        workshop.may_end.release()
        assert await small.of("one", FRAME)

    run(scene())
    assert len(workshop.made) == 1


def test_a_failure_reaches_each_request_and_is_tried_again() -> None:
    attempts: list[Frame] = []

    def make(frame: Frame) -> ServedPicture:
        attempts.append(frame)
        if len(attempts) == 1:
            raise ValueError("a bug")
        return as_it_is(frame)

    small = SmallPictures(make=make)

    async def scene() -> None:
        answers = await asyncio.gather(*(small.of("one", FRAME) for _ in range(3)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [ValueError] * 3
        assert await small.of("one", FRAME) == as_it_is(FRAME)

    run(scene())


def test_the_pictures_used_last_are_kept_within_max_bytes() -> None:
    workshop = Workshop(n_bytes=40)
    workshop.may_end.release(99)
    small = SmallPictures(max_bytes=100, make=workshop)

    async def scene() -> None:
        for address in ("a", "b", "a", "c", "a", "c"):
            await small.of(address, FRAME)
        assert len(workshop.made) == 3
        await small.of("b", FRAME)
        assert len(workshop.made) == 4
        assert small._n_bytes == 80

    run(scene())


# ---- the thread


def test_no_thread_is_started_before_the_first_request() -> None:
    small = SmallPictures()
    assert not threads()
    assert asyncio.run(small.of("one", FRAME)) == as_it_is(FRAME)
    assert len(threads()) == 1


def test_neither_the_object_nor_a_frame_stays_in_memory() -> None:
    small = SmallPictures()
    frame = frame_of(noise())
    held = weakref.ref(small)
    before = sys.getrefcount(frame)
    asyncio.run(small.of("one", frame))
    del small
    gc.collect()
    for thread in threads():
        thread.join(30)
    assert held() is None
    assert sys.getrefcount(frame) == before


def test_a_frame_is_sent_as_it_is_if_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    small, frame = SmallPictures(), frame_of(noise())
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert asyncio.run(small.of("one", frame)) == as_it_is(frame)
    assert asyncio.run(small.of("one", frame)).mime_type == "image/webp"


PROGRAM = """
import asyncio, os, sys, threading, time
from imgassemble import Frame
from imgassemble.web.small_pictures import SmallPictures, as_it_is

frame = Frame(data=b"x", format="PNG", size=(1, 1))
has_begun = threading.Event()

def make(_frame):
    has_begun.set()
    time.sleep(60)

def ask(small, address):
    threading.Thread(target=lambda: asyncio.run(small.of(address, frame)), daemon=True).start()
"""
AT_EXIT = """
small = SmallPictures(make=make)
for number in range(9):
    ask(small, str(number))
has_begun.wait()
"""
IN_A_FORK = """
small = SmallPictures(make=lambda frame: make(frame) if os.getpid() == parent else as_it_is(frame))
parent = os.getpid()
ask(small, "one")
has_begun.wait()
child = os.fork()
if not child:
    os._exit(0 if asyncio.run(asyncio.wait_for(small.of("one", frame), 20)) == as_it_is(frame) else 1)
sys.exit(os.waitpid(child, 0)[1])
"""


@pytest.mark.parametrize(
    "scene", [AT_EXIT, *([IN_A_FORK] if hasattr(os, "fork") else [])], ids=["exit", "fork"][: 1 + hasattr(os, "fork")]
)
def test_the_thread_holds_up_neither_the_end_of_a_program_nor_a_forked_process(scene: str) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM + scene]
    assert subprocess.run(command, env=environment, timeout=30, check=False).returncode == 0
