"""Runs a stream through an assembler, from the first event to the end, and serves listeners and sinks.

If the program ends the reading early, the stream is closed, so that the service stops sending.
Must not know: the meaning of an event, how a stream is opened and read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from inspect import GEN_RUNNING, getgeneratorstate
from typing import Any, Self, cast

from ...assembly.assembler import Assembler, stop_signal
from ...assembly.listeners import Listener
from ...assembly.results import Result
from ...assembly.sink import Sink
from ...assembly.updates import Update
from ...frames.base64_json import load_decoded
from ..fetching.links import Fetch, LinkFetcher
from ..opening.openings import Opening, StreamStoppedError
from ..sources import StreamReader, read_events
from .driver_arguments import checked_assembler, checked_listeners, checked_sync_fetch
from .ends import end_stream, leave_stream
from .open_sinks import OpenSinks


def iter_updates(
    stream: Any, assembler: Assembler | None = None, *, fetch: Fetch | None = None, keep_open: bool = False
) -> Updates:
    """Return an iterator of the updates of a stream as they come, and of its end. It is also a context manager.

    stream: an iterable of events or of chunks of bytes, the stream of an SDK, the streamed response of an HTTP client
        (httpx, requests, urllib), a context manager of such a response, a Path, one whole answer (a mapping, a model,
        text or bytes), or a function that opens any of these. In an iterable a str is one event. A server-sent event
        that a client has split already, as an object or a mapping with `event` and `data`, counts as the event in it.
    assembler: the Assembler that reads the events; None: a new one with the defaults.
    fetch: called with the URL that a service sent in place of a result; it returns the bytes, or raises an exception,
        which becomes an anomaly of the item. The stream waits while it runs. Without it a URL is kept in `item.url`.
        `imgassemble.streams.fetch_https` is one for URLs of the public internet.
    keep_open: leave the assembler open if the stream raises or is left early, so that another stream can continue it.

    When the block ends, the stream is closed, so that the service stops sending; files that you opened stay open. An
    exception of the stream is raised after the last update. If it comes after the end of every response, it is only
    logged. Raises UsageError if `stream` is no stream, and for an assembler that was closed.

        with iter_updates(client.images.generate(..., stream=True)) as updates:
            for update in updates:
                print(update)
    """
    opening, assembler = Opening(stream), checked_assembler(assembler)
    links = LinkFetcher(assembler, checked_sync_fetch(fetch))
    return Updates(opening, assembler, links, keep_open=keep_open)


def assemble(
    stream: Any,
    *,
    on_update: Listener | Iterable[Listener] | None = None,
    sinks: Iterable[Sink] = (),
    assembler: Assembler | None = None,
    fetch: Fetch | None = None,
    keep_open: bool = False,
) -> Result:
    """Read a stream to its end and return its result; call `on_update` and store frames in `sinks` as they come.

    stream, fetch, keep_open: as for `iter_updates`. A function or a path is opened after the sinks.
    on_update: one callable or a list, called with each update, after the sinks. The stream waits while it runs. If it
        raises, that is logged, and the stream goes on.
    sinks: the sinks, for example a DirectorySink. They are opened before the stream and closed after it.
    assembler: a new Assembler with options of yours, or one that you want to ask or stop; None: one with the defaults.

    If the program ends the reading early (`assembler.stop()`, an interrupt), the stream is closed, and sinks and
    listeners receive its end. Raises SinkError at the end if a sink failed; its `result` is the result. Raises the
    stream's exception after the sinks are closed. Raises UsageError if `stream` is no stream, or `on_update` a
    coroutine function.

        result = assemble(Path("otter.sse"), sinks=[DirectorySink("otter")])
    """
    kept, listeners = OpenSinks(sinks), checked_listeners(on_update)
    opening, assembler = Opening(stream), checked_assembler(assembler)
    links = LinkFetcher(assembler, checked_sync_fetch(fetch))
    subscriptions: list[Callable[[], None]] = []
    try:
        subscriptions.append(assembler.subscribe(kept))  # first, so that a callback finds its frame on disk
        subscriptions += map(assembler.subscribe, listeners)
        kept.open(assembler)
        deque(_updates(opening, assembler, links, keep_open=keep_open, kept=kept), maxlen=0)
    except BaseException as error:
        kept.close_after(error)
        raise
    finally:
        opening.close()
        for unsubscribe in subscriptions:
            unsubscribe()
    return kept.finish(assembler)


class Updates(Iterator[Update]):
    """The updates of a stream: an iterator, and a context manager that closes the stream.

    A loop that is left with `break` closes the stream too, unless a variable holds this object.
    """

    def __init__(self, opening: Opening, assembler: Assembler, links: LinkFetcher, *, keep_open: bool) -> None:
        self._assembler = assembler
        self._run = _updates(opening, assembler, links, keep_open=keep_open, kept=OpenSinks(()))
        next(self._run)  # to its beginning, from where `close` runs to its end

    def __next__(self) -> Update:
        """Return the next update."""
        return cast("Update", next(self._run))

    def close(self) -> None:
        """End the reading, close the stream, and unless it is kept open the assembler. A second call changes nothing.

        In a listener, or in another thread than the reader's, it does the same as `assembler.stop()`.
        """
        if getgeneratorstate(self._run) == GEN_RUNNING:
            self._assembler.stop("the program closed the stream")
        else:
            self._run.close()

    def __enter__(self) -> Self:
        """Return the iterator."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the stream."""
        self.close()


def _updates(
    opening: Opening, assembler: Assembler, links: LinkFetcher, *, keep_open: bool, kept: OpenSinks
) -> Generator[Update | None]:
    """Yield None, and then the updates of a stream and of its end."""
    error: Exception | None = None
    signal = stop_signal(assembler)
    try:
        yield None  # from here on, closing the generator ends the stream
        with signal.interrupting(opening.interrupt):
            kept.continue_run(assembler)
            for box in read_events(opening, StreamReader(assembler.limits, load=load_decoded)):
                yield from assembler.feed(kept.join(box.pop()) if kept.continuing else box.pop())
                for link in links.found() if links.are_fetched else ():
                    if not assembler.is_stopped:
                        yield from links.get(link)
                if signal.reason is not None:
                    break
            for link in links.found_at_end():
                if not assembler.is_stopped:
                    yield from links.get(link)
    except StreamStoppedError:
        pass
    except Exception as raised:  # noqa: BLE001 - it is raised below, after the end of the stream
        error = raised
    except BaseException as leaving:
        opening.close()
        leave_stream(assembler, leaving, keep_open=keep_open)
        raise
    opening.close()
    updates, error = end_stream(assembler, error, keep_open=keep_open)
    yield from updates
    if error is not None:
        try:
            raise error
        finally:
            del error  # its traceback has this frame
