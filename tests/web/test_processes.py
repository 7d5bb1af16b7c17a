"""The programs of docs/processes.md, unchanged: two web workers, producers of arq, Redis, and the client of OpenAI."""

from __future__ import annotations

import json
import os
import re
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

if missing := [name for name in ("arq", "fastapi", "openai", "redis", "uvicorn") if find_spec(name) is None]:
    pytest.skip(f"no {missing[0]} here: pip install arq fastapi openai redis uvicorn", allow_module_level=True)


import redis_stage as stage
from page_visitors import Visitor, answer_of, visitors, workers
from redis_stage import RedisServer, wait_until

if stage.SERVER is None:
    pytest.skip(stage.MISSING, allow_module_level=True)

from imgassemble import SinkError, assemble
from imgassemble.simulator import Order, Pace, play
from imgassemble.simulator.server import RunningServer, running_server
from imgassemble.web import RedisGallery

DOCS = Path(__file__).parents[2] / "docs"
PROGRAMS = DOCS / "processes"


@dataclass(frozen=True)
class Application:
    """The running application. `variables`: the environment of its processes; `url`: that of the web workers."""

    folder: Path
    variables: dict[str, str]
    service: RunningServer
    url: str

    @property
    def page_url(self) -> str:
        return f"{self.url}/pictures"

    def draw(self, prompt: str) -> str:
        """Ask for a picture, and return the name of its stream."""
        status, _, body = answer_of(self.url, f"draw?prompt={quote(prompt)}", "POST")
        assert status == 200
        name: str = json.loads(body)["name"]
        return name

    @contextmanager
    def producer(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run a worker of arq until the block ends, or it is killed in it."""
        command = [sys.executable, "-m", "arq", "producer.WorkerSettings"]
        with subprocess.Popen(
            command, cwd=PROGRAMS, env=os.environ | self.variables, stderr=subprocess.DEVNULL
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def requests_for(self, prompt: str) -> list[str]:
        """Return the methods of the requests that the service got for a picture."""
        posts = [each for each in self.service.service.requests if each.method == "POST"]
        return [each.method for each in posts if each.json["input"] == prompt]


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    folder = tmp_path_factory.mktemp("processes")
    server = RedisServer(folder / "redis")
    order = Order(size=(64, 64), dialect="openai-2025")
    with running_server(order, pace=Pace(delay_s=0.12)) as service:
        variables = {
            "REDIS_URL": server.url,
            "LEASE_S": "1",
            "OPENAI_BASE_URL": f"{service.url}/v1",
            "OPENAI_API_KEY": "-",
            "PYTHONPATH": f"{DOCS.parent}{os.pathsep}{PROGRAMS}",
        }
        with workers(folder, "app", variables) as url:
            yield Application(folder, variables, service, url)
    server.kill()
    server.client.close()


def shown(visitor: Visitor, name: str) -> list[bytes]:
    """Return the frames of a stream that a visitor can load, the result last."""
    frames = {facts["number"]: facts["url"] for facts in visitor.facts("frame") if facts["stream"] == name}
    item = [facts for facts in visitor.facts("item") if facts["stream"] == name][-1]
    answers = [visitor.get(frames[number]) for number in item["frames"]]
    assert {status for status, _ in answers} == {200}
    return [data for _, data in answers]


def finals_of(gallery: RedisGallery) -> list[dict[str, Any]]:
    """Return the facts of the results in a gallery."""
    frames = [change.facts for change in gallery.changes()[1] if change.kind == "frame"]
    return [facts for facts in frames if facts["is_final"]]


def outcomes(visitor: Visitor, name: str) -> list[str | None]:
    """Return the outcomes that a visitor got for a stream, in their order: None while it is under way."""
    return [facts["outcome"] for facts in visitor.facts("stream") if facts["stream"] == name]


def has_preview(visitor: Visitor, name: str) -> bool:
    return any(facts["stream"] == name for facts in visitor.facts("frame"))


def test_fresh_viewers_of_both_workers_see_all_and_outlive_a_worker(application: Application) -> None:
    with application.producer(), visitors(application.page_url, 24) as present:
        name = application.draw("an otter")
        wait_until(lambda: all(has_preview(visitor, name) for visitor in present))
        hellos = {visitor: len(visitor.facts("hello")) for visitor in present}
        killed = present[0].workers[0]
        assert {visitor.workers[0] for visitor in present} > {killed}
        os.kill(killed, signal.SIGKILL)
        for visitor in present:
            wait_until(lambda visitor=visitor: visitor.has_ended(name))
            assert not any(hello["is_new"] for hello in visitor.facts("hello")[hellos[visitor] :])
        final = assemble(application.service.service.sent[-1].body).require_final()
        with visitors(application.page_url, 4) as fresh:
            for visitor in (*fresh, *present):
                wait_until(lambda visitor=visitor: visitor.has_ended(name))
                assert shown(visitor, name)[-1] == final.data
    assert application.requests_for("an otter") == ["POST"]


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_another_producer_goes_on_and_the_image_is_asked_for_once(application: Application, ending: int) -> None:
    prompt = f"a heron {ending}"
    with visitors(application.page_url, 1) as (visitor,):
        with application.producer() as first:
            name = application.draw(prompt)
            wait_until(lambda: has_preview(visitor, name))
            first.send_signal(ending)
            first.wait()
        with application.producer():
            wait_until(lambda: outcomes(visitor, name)[-1] == "completed")
        final = assemble(application.service.service.sent[-1].body).require_final()
        assert shown(visitor, name)[-1] == final.data
    assert application.requests_for(prompt) == ["POST"]


def test_stop_from_a_web_worker_ends_the_stream(application: Application) -> None:
    with application.producer(), visitors(application.page_url, 1) as (visitor,):
        name = application.draw("a lake")
        wait_until(lambda: has_preview(visitor, name))
        assert answer_of(application.url, f"stop/{name}", "POST")[0] == 200
        wait_until(lambda: visitor.has_ended(name))
        assert outcomes(visitor, name)[-1] != "completed"


def test_the_access_rules_of_the_page_are_enough_and_let_a_worker_write_nothing(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis")
    lines = re.findall(r"^ACL (.+)$", (DOCS / "processes.md").read_text(), re.MULTILINE)
    for line in lines:
        server.client.execute_command("ACL", *line.split())
    producer, worker = (
        RedisGallery(server.url.replace("redis://", f"redis://{user}@"))
        for user in ("producer:secret1", "worker:secret2")
    )
    played = play(Order(size=(24, 16), dialect="openai-2025"))
    with producer.produce("otter") as making:
        result = making.assemble(lambda cursor: iter(played.events))
    wait_until(lambda: finals_of(worker))
    (final,) = finals_of(worker)
    frame = worker.frame(final["url"].split("/")[1], final["number"])
    assert frame is not None
    assert frame.data == result.require_final().data
    with pytest.raises(SinkError, match="no permissions"):
        worker.stop("otter")
    rights = re.search(r"that calls `stop` needs `([^`]+)`", (DOCS / "processes.md").read_text())
    assert rights
    server.client.execute_command("ACL", "SETUSER", "worker", *rights[1].split())
    worker.stop("otter")
    producer.remove("otter")
    wait_until(lambda: worker.names == ())
    for gallery in (producer, worker):
        gallery.close()
    server.kill()
    server.client.close()


def test_the_page_has_the_programs() -> None:
    page = runpy.run_path(str(DOCS / "processes.py"))["page"]()
    assert page == (DOCS / "processes.md").read_text(), "run: python docs/processes.py"
