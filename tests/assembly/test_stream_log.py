"""The log of a stream: its end, each update, the first anomaly of each code, and failing listeners once."""

from __future__ import annotations

import logging
import re

import pytest
import samples

from imgassemble import Assembler, Update

PICTURE = samples.png()


def lines(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


def test_the_end_of_a_stream_is_one_line_of_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assembler = Assembler()
    assembler.feed(samples.partial("ig_1", 0, PICTURE))
    assembler.feed(samples.done("ig_1", PICTURE))
    assembler.feed(samples.partial("ig_2", 0, PICTURE))
    assembler.close()
    assembler.close()
    assert len(lines(caplog, logging.INFO)) == len(caplog.records) == 1
    assert lines(caplog, logging.INFO)[0].startswith(
        "stream incomplete: 2 images, 1 final; the stream ended before 'ig_2' was comp"
    )


def test_the_end_names_the_error_of_the_service(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assembler = Assembler()
    assembler.feed({"type": "error", "code": "server_error", "message": "try later"})
    assembler.close()
    assert lines(caplog, logging.INFO) == [
        "stream failed: 0 images, 0 finals; the service failed (server_error): try later"
    ]


def test_each_update_is_a_line_of_debug_without_base64(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assembler = Assembler()
    updates = [*assembler.feed(samples.partial("A" * 5_000, 0, PICTURE)), *assembler.close()]
    logged = lines(caplog, logging.DEBUG)
    assert [line.partition("(")[0] for line in logged] == [type(update).__name__ for update in updates]
    assert not any(re.search("[A-Za-z0-9+/]{200}", line) for line in logged)


def test_no_update_is_made_a_text_above_debug(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    asked: list[int] = []
    logger = logging.getLogger("imgassemble")
    is_enabled_for = logger.isEnabledFor

    def ask(level: int) -> bool:
        asked.append(level)
        return is_enabled_for(level)

    monkeypatch.setattr(logger, "isEnabledFor", ask)
    assembler = Assembler()
    assembler.feed(samples.partial("ig_1", 0, PICTURE))
    assert asked == [logging.DEBUG], "one question for a feed with updates"
    assembler.feed(samples.partial("ig_1", 0, PICTURE))
    assert asked == [logging.DEBUG], "none for a feed without"


def test_the_first_anomaly_of_each_code_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assembler = Assembler()
    for text in ("!!", "??"):
        for at in range(3):
            assembler.feed(samples.partial("ig_1", at, PICTURE) | {"partial_image_b64": text})
        assembler.feed("no JSON")
    assert [(record.levelname, vars(record)["anomaly_code"]) for record in caplog.records] == [
        ("WARNING", "bad_base64"),
        ("WARNING", "unreadable_event"),
    ]
    assert all("logged once for each stream" in line for line in lines(caplog, logging.WARNING))


def test_a_failing_listener_is_logged_once_for_each_type_of_exception(caplog: pytest.LogCaptureFixture) -> None:
    errors = iter([OSError("a"), ValueError("b"), OSError("c"), ValueError("d")])

    def fail(_update: Update) -> None:
        raise next(errors, RuntimeError("e"))

    def fail_too(_update: Update) -> None:
        raise OSError

    assembler = Assembler()
    assembler.subscribe(fail)
    assembler.subscribe(fail_too)
    for at in range(6):
        assembler.feed(samples.partial("ig_1", at, samples.shade(at)))
    kinds = [record.exc_info[0] for record in caplog.records if record.exc_info]
    assert (len(caplog.records), set(kinds)) == (4, {OSError, ValueError, RuntimeError})
