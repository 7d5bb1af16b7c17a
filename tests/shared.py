"""The folders that tests read: the repository, and real streams that do not belong to it."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("IMGASSEMBLE_SHARED") or ROOT.parent / "shared")
RECORDINGS, CASES = SHARED / "recordings", SHARED / "cases"
MISSING = "real streams are missing: set IMGASSEMBLE_SHARED to the folder that holds recordings/ and cases/"
