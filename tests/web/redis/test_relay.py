"""`imgassemble relay`: a stream from a file or a pipe reaches the viewers of a gallery on Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import samples
from redis_stage import RedisServer, wait_until

from imgassemble.cli.main import main
from imgassemble.simulator.answers import Order, play
from imgassemble.web import RedisGallery

FINAL = samples.picture("PNG", 32, 24)
WHOLE = [
    samples.created(seq=0),
    samples.partial(index=0, seq=1),
    samples.done(content=FINAL, seq=2),
    samples.snapshot("completed", [samples.member(content=FINAL)], seq=3),
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "otter.sse"
    path.write_bytes(samples.sse(WHOLE))
    return path


def outcomes(gallery: RedisGallery) -> dict[str, Any]:
    return {change.stream: change.facts["outcome"] for change in gallery.changes()[1] if change.kind == "stream"}


def test_a_stream_is_relayed_once(
    server: RedisServer, gallery: RedisGallery, name: str, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["relay", str(source), server.url, "--gallery", name]
    assert main(arguments) == 0
    assert f"the stream 'otter.sse' is in the gallery '{name}'" in capsys.readouterr().err
    wait_until(lambda: outcomes(gallery) == {"otter.sse": "completed"})
    (frame,) = [change.facts for change in gallery.changes()[1] if change.kind == "frame" and change.facts["is_final"]]
    shown = gallery.frame(frame["url"].split("/")[1], frame["number"])
    assert shown is not None
    assert shown.data == FINAL
    position = gallery.changes()[0]
    assert main(arguments) == 0
    assert "had ended before, so nothing was read: choose another name" in capsys.readouterr().err
    assert not [change for change in gallery.changes(position)[1] if change.kind == "item"]


def test_a_relay_that_was_cut_goes_on_when_it_is_run_again(
    server: RedisServer, gallery: RedisGallery, name: str, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["relay", str(source), server.url, "--gallery", name, "--as", "an otter"]
    source.write_bytes(samples.sse(WHOLE[:2]))
    assert main(arguments) == 3
    assert "up to here: imgassemble view shows it; run this command again" in capsys.readouterr().err
    wait_until(lambda: outcomes(gallery).keys() == {"an otter"})
    source.write_bytes(samples.sse(WHOLE))
    assert main(arguments) == 0
    wait_until(lambda: outcomes(gallery) == {"an otter": "completed"})


def test_a_relay_that_ctrl_c_ends_says_how_it_goes_on(
    server: RedisServer,
    name: str,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(_source: str) -> Iterator[bytes]:
        yield samples.sse(WHOLE[:2])
        raise KeyboardInterrupt

    monkeypatch.setattr("imgassemble.cli.relay.open_chunks", interrupted)
    assert main(["relay", str(source), server.url, "--gallery", name]) == 130
    assert "run this command again with the whole stream, and it goes on" in capsys.readouterr().err


def test_a_relay_without_a_response_id_says_that_it_cannot_go_on(
    server: RedisServer, name: str, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["relay", str(source), server.url, "--gallery", name]
    source.write_bytes(samples.sse(play(Order(api="images", size=(24, 16), partials=2)).events[:1]))
    assert main(arguments) == 3
    assert "it cannot go on, because it has no response id: choose another name" in capsys.readouterr().err
    assert main(arguments) == 3
    assert "remove() the stream first to begin again, or choose another name with --as" in capsys.readouterr().err


def test_a_server_that_cannot_be_reached_is_named(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["relay", str(source), "http://localhost"]) == 2
    assert "redis://" in capsys.readouterr().err


def test_ctrl_c_while_redis_has_not_all_of_a_stream_does_not_say_that_it_has(
    server: RedisServer,
    name: str,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr("imgassemble.web.redis.sending.Sending.flush", interrupted)
    assert main(["relay", str(source), server.url, "--gallery", name]) == 130
    assert "up to here: imgassemble view shows it; run this command again" in capsys.readouterr().err
