"""The dialects' table, and the page that is drawn from it."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_the_page_is_drawn_from_the_table() -> None:
    drawn = runpy.run_path(str(DOCS / "dialects.py"))["page"]()
    assert (DOCS / "dialects.md").read_text() == drawn, "run: python docs/dialects.py"
