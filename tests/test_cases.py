"""Small streams re-made after public reports: each gives its expected result, whole and in chunks of five bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from shared import CASES, MISSING

from imgassemble import Result, assemble
from imgassemble.cli.main import main

EXPECTED: dict[str, dict[str, Any]] = json.loads((CASES / "expected.json").read_text()) if CASES.is_dir() else {}
TRUTH = sorted(name for name in EXPECTED if not name.startswith("s-") or name.startswith("s-openai-"))

pytestmark = pytest.mark.skipif(not EXPECTED, reason=MISSING)


@pytest.mark.parametrize("name", TRUTH)
def test_the_command_gives_the_expected_result(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = EXPECTED[name]
    code = main(["save", str(CASES / name), "-o", str(tmp_path / "out")])
    said = "".join(capsys.readouterr())
    assert code == expected.get("exit", code)
    finals = list((tmp_path / "out").glob("*/final.*"))
    assert len(finals) == expected.get("finals", len(finals))
    assert not [words for words in expected.get("says", ()) if words not in said]
    assert not [words for words in expected.get("does_not_say", ()) if words in said]
    assert "Traceback" not in said


def facts(result: Result) -> dict[str, Any]:
    items = {name: item.as_dict() for name, item in result.items.items()}
    return {"items": items, "outcome": result.outcome, "error": str(result.error)}


@pytest.mark.parametrize("name", TRUTH)
def test_chunks_of_five_bytes_give_the_same_result(name: str) -> None:
    body = (CASES / name).read_bytes()

    def chunks() -> Iterator[bytes]:
        for at in range(0, len(body), 5):
            yield body[at : at + 5]

    assert facts(assemble(chunks())) == facts(assemble([body]))
