"""Adds pages to the site: the README as its first page, the other files at the top, and the API reference.

Links that lead out of docs/ lead to these pages, or to the files in the repository. The build fails if a public name is
on no page of the reference, or on two.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from reference import REFERENCE, misplaced_names

ROOT = Path(__file__).parents[2]
SOURCE = "https://github.com/imgassemble/imgassemble/blob/main/"
TOP_PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "SECURITY.md": "SECURITY.md",
}


def on_config(config: Any) -> Any:
    """Add the pages of the reference to the navigation, and the pages in docs/ that it does not name yet."""
    if names := misplaced_names():
        raise PluginError(f"put {', '.join(names)} on one page of the reference in docs/site/reference.py")
    sections = {name: pages for entry in config.nav for name, pages in entry.items()}
    sections["API reference"] += [{title: f"reference/{file}.md"} for file, title, *_ in REFERENCE]
    sections["How to"] += sorted(path.name for path in (ROOT / "docs").glob("*.md") if path.name not in str(config.nav))
    return config


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
