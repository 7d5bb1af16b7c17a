"""The pages of the API reference, and the public names on each.

Must not know: the generator of the site.
"""

from importlib import import_module

# The pages of the reference: file, title, introduction, and the names on it. A name without a module is of the package.
REFERENCE = (
    ("reading", "Read a stream", "The functions that read a stream to its end, and `Assembler` for a loop of your own.",
     "assemble aassemble iter_updates aiter_updates Assembler open_events saved_events with_pictures without_pictures "
     "streams.comfyui_events streams.polled_events streams.fetch_https"),
    ("updates", "Updates", "The changes that a listener receives.",
     "Update StateChanged FrameAdded FinalReady FinalWithdrawn ItemEnded Anomaly StreamEnded Outcome State"),
    ("results", "Results, items and frames", "The values that you receive. All are immutable.",
     "Result ResponseSummary Item Frame Picture"),
    ("resuming", "Resume", "One stream over broken connections.", "resuming aresuming Cursor Patience"),
    ("storing", "Store", "Sinks are listeners that store frames.", "DirectorySink ObjectSink Sink"),
    ("screens", "Screens", "Show previews while they arrive.",
     "Refresher screens.Screen screens.TerminalScreen screens.TkScreen screens.QtScreen screens.JupyterScreen "
     "screens.LoopScreen screens.Shown screens.Tile screens.Kind screens.Painter screens.Graphics screens.Policy"),
    ("web", "The live page", "Show streams in a browser.", "web.Gallery web.RedisGallery web.create_app web.everyone"),
    ("films", "Films and sheets", "Make films and sheets of a result.",
     "film.save_films film.save_sheet film.inline_films film.InlineFilms"),
    ("meter", "Time and costs", "Measure one job.", "meter.Meter meter.Prices"),
    ("simulator", "The simulator", "Imitate a service in tests, without a key.",
     "simulator.Order simulator.play simulator.resumed simulator.replay simulator.pictures_of simulator.Answer simulator.Pace "
     "simulator.plugin.ImageServer"),
    ("errors", "Errors and limits", "All errors derive from `ImgassembleError`.",
     "ImgassembleError EventError FrameError FrameEncodingError FrameDecodeError LimitError ProviderError "
     "IncompleteStreamError SinkError StreamTakenError UsageError Limits"),
    ("events", "Typed events", "Models of the messages of services.", "parse_event wire.Event"),
)  # fmt: skip


def misplaced_names() -> list[str]:
    """Return the public names that are not on exactly one page."""
    shown = [name for *_, names in REFERENCE for name in names.split()]
    public = [
        f"{module}.{name}".lstrip(".")
        for module in ("", "streams", "screens", "web", "film", "meter")
        for name in import_module(f"imgassemble.{module}".rstrip(".")).__all__
    ]
    return [name for name in public if shown.count(name) != 1]
