"""`imgassemble view` and `imgassemble demo` as processes: their lines, their page, and their end."""

from __future__ import annotations

import contextlib
import http.client
import json
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import samples

from imgassemble import Assembler, DirectorySink, FrameAdded, assemble, iter_updates
from imgassemble.cli import demo

pytest.importorskip("starlette", reason="the live page needs the extra web: pip install 'imgassemble[web]'")
pytest.importorskip("uvicorn", reason="the live page needs the extra web: pip install 'imgassemble[web]'")

from imgassemble.serving import url_of

PATIENCE_S = 30  # how long a test waits for an expected event; the machine may be busy
FIXTURE = Path(__file__).parents[2] / "fixtures" / "openai-2025-10-png.sse"
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent in another way there")

RUN = """
import sys
from imgassemble.cli.main import main

sys.exit(main(sys.argv[1:]))
"""


def without(*packages: str) -> str:
    """Return Python code that makes `packages` unavailable."""
    return f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {packages!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""


QUICKLY = """
from dataclasses import replace
from imgassemble.cli import demo
demo._PACE = demo.Pace()
demo._STREAMS = tuple((0.0, replace(order, size=(48, 32))) for _, order in demo._STREAMS)
"""
WITHOUT_A_BROWSER = "import webbrowser\nwebbrowser.open = lambda url: print(url, flush=True)\n"


def command(name: str, *arguments: object, before: str = "", warnings: str = "error") -> list[str]:
    """The command line of `imgassemble NAME ARGUMENTS`, which runs the Python `before` first and opens no browser."""
    program = [sys.executable, "-W", warnings, "-c", before + RUN, name, *map(str, arguments)]
    return program if before == WITHOUT_A_BROWSER else [*program, "--no-browser"]


def done(name: str, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(name, *arguments, **options), capture_output=True, text=True, timeout=PATIENCE_S)


@dataclass(slots=True)
class Showing:
    """A command that runs."""

    process: subprocess.Popen[bytes]
    lines: queue.Queue[str]

    def line(self, pattern: str) -> re.Match[str]:
        """Return the next line on standard error that matches."""
        while True:
            line = self.lines.get(timeout=PATIENCE_S)
            assert line, f"it ended before it said {pattern!r}"
            if found := re.search(pattern, line):
                return found

    def address(self) -> tuple[str, int]:
        found = self.line(r"the page is at http://(\S+):(\d+)/ \(Ctrl-C ends it\)")
        return found[1], int(found[2])

    def interrupt(self) -> tuple[int, str]:
        """Press Ctrl-C; return the exit code and the lines printed after that."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(PATIENCE_S)
        rest = []
        while line := self.lines.get(timeout=PATIENCE_S):
            rest.append(line)
        return code, "".join(rest)


@contextlib.contextmanager
def showing(name: str, *arguments: object, stdin: Any = subprocess.DEVNULL, **options: Any) -> Iterator[Showing]:
    process = subprocess.Popen(
        command(name, *arguments, **options), stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    lines: queue.Queue[str] = queue.Queue()
    assert process.stderr
    stderr = process.stderr

    def read() -> None:
        for line in stderr:
            lines.put(line.decode())
        lines.put("")

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield Showing(process, lines)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        reader.join()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()


def get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    with contextlib.closing(connection):
        connection.request("GET", path)
        with connection.getresponse() as answer:
            return answer.status, answer.read()


@contextlib.contextmanager
def events(port: int) -> Iterator[Iterator[dict[str, Any]]]:
    """Give the facts that a viewer receives."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    with contextlib.closing(connection):
        connection.request("GET", "/events")
        with connection.getresponse() as answer:
            yield (json.loads(line[6:]) for line in answer if line.startswith(b"data: "))


def first(told: Iterator[dict[str, Any]], **facts: Any) -> dict[str, Any]:
    """Return the first that contains these facts."""
    return next(each for each in told if facts.items() <= each.items())


# ---- the page


@POSIX
def test_a_recorded_stream_is_shown_until_ctrl_c() -> None:
    with showing("view", FIXTURE) as running:
        host, port = running.address()
        assert host == "127.0.0.1"
        with events(port) as told:
            shown = first(told, stream=str(FIXTURE), is_final=True)
            final = assemble([FIXTURE.read_bytes()]).final
            assert final is not None
            assert get(port, f"/{shown['url']}") == (200, final.data)
        assert running.interrupt() == (130, "")


@POSIX
def test_a_stream_on_standard_input_is_shown_as_it_arrives() -> None:
    with showing("view", "-", stdin=subprocess.PIPE) as running:
        _, port = running.address()
        stdin = running.process.stdin
        assert stdin
        with events(port) as told:
            first(told, stream="standard input")
            for index in range(2):
                stdin.write(json.dumps(samples.partial(index=index)).encode() + b"\n")
                stdin.flush()
                first(told, stream="standard input", caption=f"preview {index + 1}")
            stdin.close()
            assert first(told, stream="standard input", outcome="incomplete")


@POSIX
def test_ctrl_c_ends_it_while_it_waits_for_standard_input() -> None:
    with showing("view", "-", stdin=subprocess.PIPE) as running:
        running.address()
        assert running.interrupt() == (130, "")


@POSIX
def test_ctrl_c_ends_it_while_a_viewer_is_connected() -> None:
    with showing("view", FIXTURE) as running:
        _, port = running.address()
        with events(port) as told:
            first(told, has_final=True)
            assert running.interrupt() == (130, "")


@POSIX
def test_a_folder_is_shown_with_later_additions(tmp_path: Path) -> None:
    folder = tmp_path / ("otters" if sys.platform == "darwin" else "otters-\udcff")  # a byte that is no text
    assemble([samples.done("ig_1", samples.png())], sinks=[DirectorySink(folder)])
    with showing("view", folder) as running:
        _, port = running.address()
        with events(port) as told:
            first(told, id="ig_1", has_final=True)
            assemble([samples.done("ig_2", samples.png(2, 2))], sinks=[DirectorySink(folder)])
            first(told, id="ig_2", has_final=True)
        assert running.interrupt() == (130, "")


def test_the_demo_waits_for_nothing_before_its_first_preview(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    after_s, order = demo._STREAMS[0]
    assembler = Assembler()
    for _ in takewhile(lambda update: not isinstance(update, FrameAdded), iter_updates(demo._paced(order), assembler)):
        pass
    assert sum(waits) == after_s == 0
    assert sum(len(item.partials) for item in assembler.items.values()) == 1


@POSIX
def test_the_demo_shows_streams_side_by_side() -> None:
    with showing("demo", before=QUICKLY) as running:
        _, port = running.address()
        with events(port) as told:
            outcomes: dict[str, str] = {}
            while len(outcomes) < 6:
                ended = next(each for each in told if each.get("outcome"))
                outcomes[ended["name"]] = ended["outcome"]
        assert sorted(outcomes.values()) == ["completed"] * 5 + ["failed"]
        assert running.interrupt() == (130, "")


@POSIX
def test_on_a_public_address_each_viewer_needs_a_token() -> None:
    with showing("view", FIXTURE, "--host", "0.0.0.0") as running:
        link = running.line(r"link for one viewer: http://([^:/]+):(\d+)(/\?token=\S+)")
        assert not link[1].startswith(("127.", "0."))
        assert get(int(link[2]), "/")[0] == 401
        assert get(int(link[2]), link[3])[0] == 200
        assert running.line(r"link for one viewer: \S+(/\?token=\S+)")[1] != link[2]


@POSIX
@pytest.mark.parametrize(("host", "ending"), [("127.0.0.1", "/"), ("0.0.0.0", r"/\?token=\S+")])
def test_the_browser_is_opened_at_an_address_that_shows_the_page(host: str, ending: str) -> None:
    with showing("view", FIXTURE, "--host", host, before=WITHOUT_A_BROWSER) as running:
        assert running.process.stdout
        opened = running.process.stdout.readline().decode()
        assert re.fullmatch(rf"http://[\w.-]+:\d+{ending}\n", opened)
        assert opened.startswith("http://127.0.0.1:") == (host == "127.0.0.1")
        running.line("no browser was found: open the address yourself")


@POSIX
def test_a_stream_whose_reading_fails_is_reported_and_ends(tmp_path: Path) -> None:
    source = tmp_path / "stream.sse"
    source.write_bytes(FIXTURE.read_bytes())
    before = "def fail(*_): raise OSError('the disk is gone')\n"
    before += "import imgassemble.streams.sources\nimgassemble.streams.sources._read = fail\n"
    with showing("view", source, before=before) as running:
        _, port = running.address()
        with events(port) as told:
            first(told, stream=str(source), outcome="incomplete")
        running.line("reading the stream failed: the disk is gone")
        assert get(port, "/")[0] == 200


class Probe:
    """A socket with the answers of the system on another machine."""

    own: str | None

    def __init__(self, family: int, kind: int) -> None:
        assert kind == socket.SOCK_DGRAM
        self.family = family

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def connect(self, address: tuple[str, int]) -> None:
        assert (":" in address[0]) == (self.family == socket.AF_INET6)
        if self.own is None:
            raise OSError("Network is unreachable")

    def getsockname(self) -> tuple[object, ...]:
        return self.own, 40_000


class Listener:
    def __init__(self, host: str) -> None:
        self.host, self.family = host, socket.AF_INET6 if ":" in host else socket.AF_INET

    def getsockname(self) -> tuple[object, ...]:
        return (self.host, 8_000, 0, 0) if ":" in self.host else (self.host, 8_000)


@pytest.mark.parametrize(
    ("host", "own", "url"),
    [
        ("0.0.0.0", "192.168.1.7", "http://192.168.1.7:8000"),
        ("0.0.0.0", None, "http://studio:8000"),
        ("::", "2001:db8::7", "http://[2001:db8::7]:8000"),
        ("::", None, "http://studio:8000"),
        ("127.0.0.1", "192.168.1.7", "http://127.0.0.1:8000"),
        ("::1", "2001:db8::7", "http://[::1]:8000"),
        ("192.168.1.9", "192.168.1.7", "http://192.168.1.9:8000"),
    ],
)
def test_the_printed_address_is_one_that_other_machines_can_use(
    monkeypatch: pytest.MonkeyPatch, host: str, own: str | None, url: str
) -> None:
    listener: Any = Listener(host)
    with monkeypatch.context() as patch:
        patch.setattr(Probe, "own", own, raising=False)
        patch.setattr(socket, "socket", Probe)
        patch.setattr(socket, "gethostname", lambda: "studio")
        assert url_of(listener) == url


# ---- wrong use


def one_line(answer: subprocess.CompletedProcess[str]) -> str:
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert answer.stderr.startswith("imgassemble: ")
    assert answer.stderr.count("\n") == 1
    return answer.stderr


def test_a_missing_source_is_wrong_use(tmp_path: Path) -> None:
    assert "name a file, or - for standard input" in one_line(done("view", tmp_path / "nothing"))


def test_a_port_in_use_is_wrong_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = one_line(done("view", FIXTURE, "--port", port))
    assert f"cannot listen on 127.0.0.1:{port}" in said
    assert "choose another address or port" in said


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", -1), ("127.0.0.1", 70_000), ("203.0.113.9", 0)])
def test_an_address_that_cannot_be_used_is_wrong_use(host: str, port: int) -> None:
    # Python's own create_server leaves its socket open if the port is invalid.
    assert "cannot listen on" in one_line(done("view", FIXTURE, "--host", host, "--port", port, warnings="ignore"))


MISSING = pytest.mark.parametrize("missing", [("starlette",), ("uvicorn",), ("h11",), ("starlette", "uvicorn")])


@MISSING
def test_without_the_extra_view_names_the_package_to_install(missing: tuple[str, ...]) -> None:
    said = one_line(done("view", FIXTURE, before=without(*missing)))
    assert re.search(rf"needs ({'|'.join(missing)}): pip install 'imgassemble\[web\]'", said)


@MISSING
def test_without_the_extra_the_demo_runs_in_the_terminal(missing: tuple[str, ...]) -> None:
    answer = done("demo", before=without(*missing) + QUICKLY)
    assert answer.returncode == 0
    assert "pip install 'imgassemble[web]'; until then the demo runs in the terminal" in answer.stderr
    assert "Traceback" not in answer.stderr


@POSIX
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="how many files are open is not told here")
def test_viewers_that_leave_leave_no_file_open() -> None:
    with showing("view", FIXTURE) as running:
        _, port = running.address()
        folder = Path(f"/proc/{running.process.pid}/fd")
        with events(port) as told:
            first(told, has_final=True)
        before = len(list(folder.iterdir()))
        for _ in range(20):
            with events(port) as told:
                first(told, has_final=True)
        end = time.monotonic() + PATIENCE_S
        while len(list(folder.iterdir())) > before:
            assert time.monotonic() < end
            assert get(port, "/")[0] == 200
