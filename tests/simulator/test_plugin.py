"""The pytest plugin: a light import, a server for each session, and the options of a test."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

PLUGIN = "imgassemble.simulator.plugin"
HAS_WEB = all(importlib.util.find_spec(name) for name in ("starlette", "uvicorn", "python_multipart"))
needs_web = pytest.mark.skipif(not HAS_WEB, reason="the server needs the extra web: pip install 'imgassemble[web]'")

# The beginning of every inner test file: a client from the standard library.
ASK = """
import http.client
import json
import urllib.error
import urllib.request

import pytest

from imgassemble import assemble


def ask(url, body=None, **headers):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=30) as answer:
        return answer.read()


ASKED = {"input": "an otter", "stream": True}
"""


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project of a user. It names the plugin, so that these tests need no installed wheel."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeini(f"[pytest]\naddopts = -p {PLUGIN} -p no:cacheprovider\nfilterwarnings = error\n")
    return pytester


def test_the_plugin_imports_nothing_but_typing_and_pytest() -> None:
    spec = importlib.util.find_spec(PLUGIN)
    assert spec is not None
    assert spec.origin is not None
    body = ast.parse(Path(spec.origin).read_text()).body
    names = {node.module for node in body if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in body if isinstance(node, ast.Import) for alias in node.names}
    assert names == {"__future__", "typing", "pytest"}


def test_the_plugin_brings_nothing_along_but_the_packages_it_lies_in() -> None:
    code = f"""
import sys, typing, pytest, {PLUGIN.rpartition(".")[0]}
before = set(sys.modules)
import {PLUGIN}
print(*sorted(set(sys.modules) - before))
print(*sorted(name for name in sys.modules if name.split('.')[0] in ('starlette', 'uvicorn', 'anyio', 'PIL')))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == [PLUGIN, ""]


@needs_web
def test_a_test_sets_the_answers_and_sees_the_requests(inner: pytest.Pytester) -> None:
    inner.makepyfile(
        ASK
        + """
def test_chosen(image_server):
    image_server.use(size=(40, 24), partials=1, dialect="openai-2025", seed=3)
    result = assemble([ask(image_server.base_url + "/responses", ASKED)])
    assert result.final.size == (40, 24)
    (asked,) = image_server.requests
    assert (asked.method, asked.path, asked.json) == ("POST", "/v1/responses", ASKED)

def test_the_next_test_has_the_defaults(image_server):
    assert image_server.requests == ()
    result = assemble([ask(image_server.base_url + "/responses", ASKED)])
    assert result.final.size == (256, 256)

def test_openrouter(image_server):
    assert image_server.openrouter_url == image_server.base_url.replace("/v1", "/api/v1")
    assert ask(image_server.openrouter_url + "/images", {"prompt": "x", "stream": True}).endswith(b"[DONE]\\n\\n")

def test_a_fault(image_server):
    image_server.use(faults=["disconnect-after-event=3"])
    with pytest.raises(http.client.IncompleteRead):
        ask(image_server.base_url + "/responses", ASKED)

def test_two_faults_one_after_the_other(image_server):
    image_server.use(faults=["rate-limit"])
    with pytest.raises(urllib.error.HTTPError, match="429"):
        ask(image_server.base_url + "/responses", ASKED)
    image_server.use(faults=[], chunk_bytes=7, jitter_s=0.0)
    assert assemble([ask(image_server.base_url + "/responses", ASKED)]).final
"""
    )
    inner.runpytest_subprocess().assert_outcomes(passed=5)


@needs_web
def test_a_fault_comes_so_many_times_and_then_no_more(inner: pytest.Pytester) -> None:
    inner.makepyfile(
        ASK
        + """
def refused(image_server):
    try:
        return assemble([ask(image_server.base_url + "/responses", ASKED)]).final is None
    except urllib.error.HTTPError as error:
        return error.headers["retry-after"]

def test_two_times(image_server):
    image_server.use(faults=["rate-limit"], times=2, retry_after_s=0)
    assert [refused(image_server) for _ in range(4)] == ["0", "0", False, False]

def test_each_time(image_server):
    image_server.use(faults=["rate-limit"])
    assert [refused(image_server) for _ in range(3)] == ["12"] * 3

def test_never(image_server):
    image_server.use(faults=["rate-limit"], times=0)
    assert refused(image_server) is False

def test_the_next_test_has_no_fault(image_server):
    assert refused(image_server) is False
"""
    )
    inner.runpytest_subprocess().assert_outcomes(passed=4)


@needs_web
def test_a_hanging_stream_ends_with_its_test_and_the_session_too(inner: pytest.Pytester) -> None:
    inner.makepyfile(
        ASK
        + """
open_ones = []

def test_hangs(image_server):
    image_server.use(faults=["hang"])
    asked = urllib.request.Request(image_server.base_url + "/responses", json.dumps(ASKED).encode())
    open_ones.append(urllib.request.urlopen(asked, timeout=30))

def test_it_was_cut(image_server):
    with open_ones.pop() as answer, pytest.raises(http.client.IncompleteRead):
        answer.read()

def test_hangs_at_the_end_of_the_session(image_server):
    test_hangs(image_server)
"""
    )
    inner.runpytest_subprocess("-W", "default::ResourceWarning", timeout=60).assert_outcomes(passed=3)


@needs_web
@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("faults=['hangs']", "there is no fault 'hangs'"),
        ("faults=['rate-limits']", "there is no fault 'rate-limits'; did you mean 'rate-limit'? There are"),
        ("dialect='openay'", "there is no dialect 'openay'"),
        ("times=-1", "times is a whole number of requests, 0 or more, not -1"),
        ("retry_after_s=1", "retry_after_s belongs to the fault rate-limit"),
        ("partial=3", "image_server.use() has no 'partial'; did you mean 'partials'? There are api, dialect"),
        ("dialect='azur'", "there is no dialect 'azur'; did you mean 'azure'? There are openai"),
    ],
)
def test_a_wrong_option_raises_an_error_in_use(inner: pytest.Pytester, asked: str, said: str) -> None:
    inner.makepyfile(f"def test_chosen(image_server):\n    image_server.use({asked})\n")
    result = inner.runpytest_subprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"E*UsageError: {said.replace('[', '[[]')}*"])


@needs_web
def test_every_worker_of_xdist_has_a_server_of_its_own(inner: pytest.Pytester) -> None:
    pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    inner.makepyfile(
        ASK
        + """
@pytest.mark.parametrize("size", [(8, 8), (9, 9), (10, 10), (11, 11)])
def test_chosen(image_server, size):
    image_server.use(size=size)
    assert assemble([ask(image_server.base_url + "/responses", ASKED)]).final.size == size
    assert len(image_server.requests) == 1
"""
    )
    inner.runpytest_subprocess("-p", "xdist", "-n", "2").assert_outcomes(passed=4)


def test_without_the_extra_a_sentence_names_the_package_to_install(inner: pytest.Pytester) -> None:
    inner.makeconftest("import sys\nsys.modules['uvicorn'] = None\n")
    inner.makepyfile("def test_chosen(image_server):\n    pass\n\ndef test_another():\n    pass\n")
    result = inner.runpytest_subprocess()
    result.assert_outcomes(errors=1, passed=1)
    said = "*the fixture image_server cannot start: the server needs uvicorn: pip install 'imgassemble[[]web]'"
    result.stdout.fnmatch_lines([said])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_the_fixture_describes_itself(inner: pytest.Pytester) -> None:
    result = inner.runpytest_subprocess("--fixtures")
    result.stdout.fnmatch_lines(["image_server*", "*A simulated image service on this machine*"])
