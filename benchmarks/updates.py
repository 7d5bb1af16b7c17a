"""Measures the bytes that an update sends a viewer, and the time that small pictures cost the thread that feeds."""

from __future__ import annotations

import threading
import time
from statistics import median
from uuid import UUID

from PIL import Image

from imgassemble import Assembler, Picture, iter_updates
from imgassemble.web import Gallery
from imgassemble.web.small_pictures import make_small

from . import costs

_ITEM_ID = "ig_" + "68b7e1f2a9c4" * 4 + "00"  # as long as those of OpenAI
_STREAMS = 30  # for each round
_PAUSE_S = 0.05  # before each stream, so that the picture before it is complete


def bytes_of_update(number: int) -> float:
    """Return the bytes that a viewer receives after a preview. `number`: its number among those of the item, from 1."""
    gallery, assembler = Gallery(), Assembler()
    gallery.add(str(UUID(int=2**127 - 1)), assembler, title="an otter on a lake at dusk", size=(1024, 1024))
    for index in range(number):
        position, _ = gallery.changes()
        assembler.feed(Picture(_ITEM_ID, Image.new("L", (8, 8), index), index=index))
    position, sent = gallery.changes(position)
    seen = f"id: {position}\nevent: seen\ndata: {{}}\n\n"
    return float(sum(len(change.event) for change in sent) + len(seen))


def feeding_beside_small_pictures(chunks: list[bytes], rounds: int) -> list[float]:
    """Return for each round the time of the feeding thread while small pictures are made without pause, to without.

    It is the time of the processor: on two cores, a third thread would take some of the time on the clock.
    """
    *_, frame = costs.frames_of(chunks)
    gallery, is_wanted, is_over = Gallery(), threading.Event(), False

    def make_on() -> None:
        while not is_over:
            is_wanted.wait()
            make_small(frame)

    making = threading.Thread(target=make_on, daemon=True)
    making.start()
    found = []
    for _ in range(rounds):
        beside, alone = list[float](), list[float]()
        for number in range(_STREAMS):
            for figures in (beside, alone) if number % 2 else (alone, beside):
                (is_wanted.set if figures is beside else is_wanted.clear)()
                time.sleep(_PAUSE_S)
                figures.append(_fed(gallery, chunks))
        found.append(median(beside) / median(alone))
    is_over = True
    is_wanted.set()
    making.join()
    return found


def _fed(gallery: Gallery, chunks: list[bytes]) -> float:
    assembler = Assembler()
    gallery.add("a stream", assembler)
    start = time.thread_time()
    for _ in iter_updates(iter(chunks), assembler):
        pass
    seconds = time.thread_time() - start
    gallery.remove("a stream")
    return seconds
