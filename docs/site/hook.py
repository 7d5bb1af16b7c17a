"""Adds pages to the site: the README as its first page, the other files at the top, and the API reference.

Links that lead out of docs/ lead to these pages, or to the files in the repository. The build fails if a public name is
on no page of the reference, or on two.
"""

import posixpath
import re
from importlib import import_module
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
SOURCE = "https://github.com/imgassemble/imgassemble/blob/main/"
TOP_PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "SECURITY.md": "SECURITY.md",
}

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
    ("storing", "Store", "Sinks are listeners that store frames.", "DirectorySink Sink"),
    ("screens", "Screens", "Show previews while they arrive.",
     "Refresher screens.Screen screens.TerminalScreen screens.TkScreen screens.QtScreen screens.JupyterScreen "
     "screens.LoopScreen screens.Shown screens.Tile screens.Kind screens.Painter screens.Graphics screens.Policy"),
    ("web", "The live page", "Show streams in a browser.", "web.Gallery web.create_app web.everyone"),
    ("films", "Films and sheets", "Make films and sheets of a result.",
     "film.save_films film.save_sheet film.inline_films film.InlineFilms"),
    ("meter", "Time and costs", "Measure one job.", "meter.Meter meter.Prices"),
    ("simulator", "The simulator", "Imitate a service in tests, without a key.",
     "simulator.Order simulator.play simulator.resumed simulator.replay simulator.pictures_of simulator.Answer simulator.Pace "
     "simulator.FAULTS simulator.Fault simulator.DIALECTS simulator.Dialect simulator.plugin.ImageServer"),
    ("errors", "Errors and limits", "All errors derive from `ImgassembleError`.",
     "ImgassembleError EventError FrameError FrameEncodingError FrameDecodeError LimitError ProviderError "
     "IncompleteStreamError SinkError UsageError Limits"),
    ("events", "Typed events", "Models of the messages of services.", "parse_event wire.Event"),
)  # fmt: skip


def on_config(config: Any) -> Any:
    """Add the pages of the reference to the navigation."""
    check_names()
    for entry in config.nav:
        if "API reference" in entry:
            entry["API reference"] = [{title: f"reference/{file}.md"} for file, title, *_ in REFERENCE]
    return config


def check_names() -> None:
    """Raise PluginError unless each public name is on one page."""
    shown = [name for *_, names in REFERENCE for name in names.split()]
    for module in ("", "screens", "web", "film", "meter"):
        for name in import_module(f"imgassemble.{module}".rstrip(".")).__all__:
            if shown.count(f"{module}.{name}".lstrip(".")) != 1:
                raise PluginError(f"put {name!r} on one page of the reference in docs/site/hook.py")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are no files in docs/."""
    for source, page in TOP_PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    for file, title, introduction, names in REFERENCE:
        parts = (f"::: imgassemble.{name}" for name in names.split())
        files.append(
            File.generated(config, f"reference/{file}.md", content="\n\n".join([f"# {title}", introduction, *parts]))
        )
    css = (Path(__file__).parent / "stylesheet.css").read_text()
    files.append(File.generated(config, "stylesheet.css", content=css))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return the page with links that work on the site."""
    source = next((name for name, target in TOP_PAGES.items() if target == page.file.src_uri), None)
    folder = "" if source else posixpath.dirname("docs/" + page.file.src_uri)
    return re.sub(
        r"\]\(([^)#:]+)(#[^)]*)?\)", lambda link: f"]({site_address(link[1], folder)}{link[2] or ''})", markdown
    )


def site_address(target: str, folder: str) -> str:
    """Return the address of a file for a page in `folder`, both relative to the root of the repository."""
    path = posixpath.normpath(posixpath.join(folder, target))
    if path in TOP_PAGES:
        return TOP_PAGES[path]
    is_page = path.startswith("docs/") and (ROOT / path).suffix in (".md", ".png", ".webp", ".svg")
    return path.removeprefix("docs/") if is_page else SOURCE + path
