"""The programs of docs/screens.md, run unchanged: only the address and the key come from environment variables."""

from __future__ import annotations

import ast
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from shutil import which
from typing import Any
from urllib.request import urlopen

import pytest
from PIL import Image

import imgassemble
from imgassemble import Frame, assemble, screens
from screens.hosts import PATIENCE_S, Channel, browsing, fetch, read_events, serving

DOCS = Path(__file__).parents[2] / "docs"
PROGRAMS = DOCS / "screens"
DRAWN = runpy.run_path(str(DOCS / "screens.py"))
SIZE = (96, 64)


@pytest.fixture
def environment(image_server: Any, tmp_path: Path) -> dict[str, str]:
    image_server.use(size=SIZE)
    return {
        **os.environ,
        "OPENAI_BASE_URL": image_server.base_url,
        "OPENAI_API_KEY": "-",
        "HOME": str(tmp_path),  # hosts keep their settings there
        "GRADIO_ANALYTICS_ENABLED": "False",
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }


def needs(*packages: str) -> None:
    """Skip the test if a host is not installed, and say how to install it."""
    if missing := [name for name in packages if find_spec(name.replace(".py", "")) is None]:
        pytest.skip(f"no {missing[0]} here: pip install {' '.join(packages)}")


def run(command: Sequence[str], cwd: Path, environment: dict[str, str]) -> str:
    """Run a program, and return its output."""
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def sent(image_server: Any) -> tuple[Sequence[Frame], Frame]:
    """Return the previews that were sent, and the final."""
    result = assemble(image_server.sent[-1].body)
    assert result.final
    (item,) = result.items.values()
    return item.partials, result.final


def is_in_order(shown: Sequence[bytes], all_of: Sequence[bytes]) -> bool:
    """Return whether `shown` follows the order of `all_of`, ends with its last one, and has none twice."""
    places = [all_of.index(each) for each in shown]
    return places == sorted(set(places)) and places[-1] == len(all_of) - 1


def pixels(data: bytes) -> bytes:
    return Image.open(BytesIO(data)).convert("RGB").tobytes()


def test_a_refresher_ends_with_the_final(image_server: Any, tmp_path: Path, environment: dict[str, str]) -> None:
    needs("openai")
    run([str(PROGRAMS / "with_refresher.py")], tmp_path, environment)
    _, final = sent(image_server)
    assert (tmp_path / "otter.png").read_bytes() == final.data
    assert pixels((tmp_path / "newest.png").read_bytes()) == pixels(final.data)


# A window stays open: this code reads its captions, and closes it when one of them contains the wanted words.
IN_TK = """
import runpy, sys, tkinter
mainloop = tkinter.Misc.mainloop

def captions(widget):
    texts = [str(widget.cget("text"))] if "text" in widget.keys() else []
    return texts + [text for child in widget.winfo_children() for text in captions(child)]

def look(root):
    if any(sys.argv[2] in text for text in captions(root)):
        root.destroy()
    else:
        root.after(10, look, root)

def watched(root, *arguments):
    look(root)
    mainloop(root, *arguments)

tkinter.Misc.mainloop = watched
runpy.run_path(sys.argv[1])
"""
IN_QT = """
import runpy, sys
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication, QLabel
run = QApplication.exec

def look():
    labels = [widget for widget in QApplication.allWidgets() if isinstance(widget, QLabel)]
    if any(sys.argv[2] in label.text().replace("\u200b", "") for label in labels):
        QApplication.quit()

def watched(*_):
    timer = QTimer()
    timer.timeout.connect(look)
    timer.start(10)
    run()

QApplication.exec = watched
runpy.run_path(sys.argv[1])
"""


# The faults of a service, and the words of the sentence that a screen shows.
FAULTS = {
    "moderation-http": "blocked (moderation_blocked): Your request was rejected",
    "rate-limit=0": "(rate_limit_exceeded): Rate limit reached",
    "http-problem": "failed: the service failed: Bad Gateway: The model did not answer in time.",
    "moderation-stream": "blocked (moderation_blocked): Your request was rejected",
    "moderation-after-previews": "its previews are hidden",
    "disconnect-after-event=6": "draft: the stream was cut: ",
}
each_fault = pytest.mark.parametrize(("fault", "words"), FAULTS.items(), ids=FAULTS)
some_faults = pytest.mark.parametrize(
    ("fault", "words"),
    [("", "final"), *((name, FAULTS[name]) for name in ("moderation-http", "moderation-after-previews"))],
)


def fail(command: Sequence[str], cwd: Path, environment: dict[str, str]) -> str:
    """Run a program that ends with the error of its stream, and return its output."""
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 1
    assert "Error" in done.stderr.splitlines()[-1]
    return done.stdout


@each_fault
def test_lines_in_place_of_a_terminal_say_what_failed(
    image_server: Any, tmp_path: Path, environment: dict[str, str], fault: str, words: str
) -> None:
    needs("openai")
    image_server.use(faults=[fault])
    printed = fail([str(PROGRAMS / "with_terminal.py")], tmp_path, environment).splitlines()
    assert words in printed[-1]
    assert not any("final" in line.split() for line in printed)
    assert not (tmp_path / "otter.png").exists()


@pytest.mark.parametrize("fault", ["moderation-http", "moderation-after-previews"])
def test_programs_without_a_window_show_that_an_image_is_blocked(
    image_server: Any, tmp_path: Path, environment: dict[str, str], fault: str
) -> None:
    needs("openai")
    image_server.use(faults=[fault])
    said = "Your request was rejected by the safety system"
    assert said in fail([str(PROGRAMS / "with_refresher.py")], tmp_path, environment)
    fail([str(PROGRAMS / "own_screen.py")], tmp_path, environment)
    assert (tmp_path / "newest.txt").read_text().startswith(f"error: blocked (moderation_blocked): {said}")
    printed = fail([str(PROGRAMS / "with_asyncio.py")], tmp_path, environment)
    assert said in printed.splitlines()[-1]
    for name in ("newest.png", "blocked.png"):  # the placeholder: no preview is left
        assert min(Image.open(tmp_path / name).convert("L").tobytes()) > 0xD0


@some_faults
def test_tk_shows_the_final_or_what_failed(
    image_server: Any, tmp_path: Path, environment: dict[str, str], fault: str, words: str
) -> None:
    needs("openai", "tkinter")
    image_server.use(faults=[fault] if fault else [])
    display = [] if "DISPLAY" in os.environ else ["xvfb-run", "-a"]
    if display and which(display[0]) is None:
        pytest.skip("no display here: apt-get install xvfb")
    command = [*display, sys.executable, "-c", IN_TK, str(PROGRAMS / "with_tk.py"), words]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=PATIENCE_S)


@some_faults
def test_qt_shows_the_final_or_what_failed(
    image_server: Any, tmp_path: Path, environment: dict[str, str], fault: str, words: str
) -> None:
    needs("openai", "PySide6")
    image_server.use(faults=[fault] if fault else [])
    environment["QT_QPA_PLATFORM"] = "offscreen"
    run(["-c", IN_QT, str(PROGRAMS / "with_qt.py"), words], tmp_path, environment)


def test_asyncio_saves_the_placeholder_and_the_pictures(
    image_server: Any, tmp_path: Path, environment: dict[str, str]
) -> None:
    needs("openai")
    run([str(PROGRAMS / "with_asyncio.py")], tmp_path, environment)
    _, final = sent(image_server)
    assert (tmp_path / "otter.png").read_bytes() == final.data
    assert (tmp_path / "waiting.png").exists()
    assert pixels((tmp_path / "final.png").read_bytes()) == pixels(final.data)


def test_an_own_screen_keeps_the_final_in_its_file(
    image_server: Any, tmp_path: Path, environment: dict[str, str]
) -> None:
    needs("openai")
    run([str(PROGRAMS / "own_screen.py")], tmp_path, environment)
    _, final = sent(image_server)
    assert (tmp_path / "otter.png").read_bytes() == final.data
    assert pixels((tmp_path / "newest.png").read_bytes()) == pixels(final.data)
    assert (tmp_path / "newest.txt").read_text() == "ok: final\n"


def test_an_own_screen_is_made_of_public_names() -> None:
    tree = ast.parse((PROGRAMS / "own_screen.py").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    ours = [node for node in imports if (node.module or "").startswith("imgassemble")]
    assert {node.module for node in ours} == {"imgassemble", "imgassemble.screens"}
    assert {alias.name for node in ours for alias in node.names} <= {*vars(imgassemble)["__all__"], *screens.__all__}


def test_without_a_terminal_lines_are_printed(image_server: Any, tmp_path: Path, environment: dict[str, str]) -> None:
    needs("openai")
    printed = run([str(PROGRAMS / "with_terminal.py")], tmp_path, environment)
    assert (tmp_path / "otter.png").read_bytes() == sent(image_server)[1].data
    assert "final" in printed.splitlines()[-1]


def test_fastapi_sends_facts_and_serves_the_bytes(
    image_server: Any, tmp_path: Path, environment: dict[str, str]
) -> None:
    needs("openai", "fastapi")
    command = ["-m", "uvicorn", "--app-dir", str(PROGRAMS), "--port", "0", "with_fastapi:app"]
    with serving(command, tmp_path, environment) as url:
        assert json.loads(fetch(f"{url}/draw?prompt=An+otter", {})) == {"see": "/pictures/"}
        with urlopen(f"{url}/pictures/events", timeout=60) as body:
            facts = list(until_ended(body))
        shown = [fetch(f"{url}/pictures/{each['url']}") for each in facts if "url" in each]
    partials, final = sent(image_server)
    assert shown == [frame.data for frame in (*partials, final)]
    assert [each["caption"] for each in facts if "frames" in each][-1] == "final"
    assert image_server.requests[-1].json["prompt"] == "An otter"


def until_ended(body: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the facts of the live page's events, up to the end of the stream and of the batch that holds it."""
    has_ended = False
    for line in body:
        if has_ended and line == b"event: seen\n":
            return
        if line.startswith(b"data: "):
            facts: dict[str, Any] = json.loads(line[6:])
            has_ended = has_ended or facts.get("outcome") == "completed"
            yield facts


def test_streamlit_shows_previews_and_the_final_in_one_place(
    image_server: Any, tmp_path: Path, environment: dict[str, str]
) -> None:
    needs("openai", "streamlit")
    options = ["--server.port", "0", "--server.address", "127.0.0.1", "--browser.gatherUsageStats", "false"]
    command = ["-m", "streamlit", "run", str(PROGRAMS / "with_streamlit.py"), "--server.headless", "true", *options]
    with serving(command, tmp_path, environment) as url, browsing(url) as tab:
        button = tab.run()["button"]
        after = tab.run(pressed=button.id)
        saved = fetch(url + after["download_button"].url)
    partials, final = sent(image_server)
    captions = dict(zip([frame.data for frame in (*partials, final)], ["preview 1", "preview 2", "final"], strict=True))
    assert is_in_order([data for _, data in tab.images], list(captions))  # superseded pictures are not sent
    assert all(caption == captions[data] for caption, data in tab.images)
    assert saved == final.data


@pytest.mark.parametrize("fault", ["moderation-http", "moderation-after-previews"])
def test_streamlit_shows_what_failed_in_place_of_the_preview(
    image_server: Any, tmp_path: Path, environment: dict[str, str], fault: str
) -> None:
    needs("openai", "streamlit")
    image_server.use(faults=[fault])
    options = ["--server.port", "0", "--server.address", "127.0.0.1", "--browser.gatherUsageStats", "false"]
    command = ["-m", "streamlit", "run", str(PROGRAMS / "with_streamlit.py"), "--server.headless", "true", *options]
    with serving(command, tmp_path, environment) as url, browsing(url) as tab:
        after = tab.run(pressed=tab.run()["button"].id)
    assert "Your request was rejected by the safety system" in after["alert"].body
    assert not {"exception", "download_button"} & after.keys()


def test_gradio_shows_no_preview_of_a_blocked_image(
    image_server: Any, tmp_path: Path, environment: dict[str, str]
) -> None:
    needs("openai", "gradio")
    image_server.use(faults=["moderation-after-previews"])
    with serving([str(PROGRAMS / "with_gradio.py")], tmp_path, environment) as url:
        asked = json.loads(fetch(f"{url}/gradio_api/call/draw", {"data": ["An otter"]}))
        answers = read_events(f"{url}/gradio_api/call/draw/{asked['event_id']}")
    assert answers[-2] == [None]
    assert "Your request was rejected by the safety system" in str(answers[-1])


def test_gradio_shows_previews_and_the_final(image_server: Any, tmp_path: Path, environment: dict[str, str]) -> None:
    needs("openai", "gradio")
    with serving([str(PROGRAMS / "with_gradio.py")], tmp_path, environment) as url:
        asked = json.loads(fetch(f"{url}/gradio_api/call/draw", {"data": ["An otter"]}))
        answers = read_events(f"{url}/gradio_api/call/draw/{asked['event_id']}")
        shown = [pixels(fetch(answer[0]["url"])) for answer in answers if answer]
    partials, final = sent(image_server)
    assert is_in_order(list(dict.fromkeys(shown)), [pixels(frame.data) for frame in (*partials, final)])


def test_discord_edits_one_message_until_it_holds_the_final(
    image_server: Any, tmp_path: Path, environment: dict[str, str]
) -> None:
    needs("openai", "aiohttp", "discord.py")
    channel = Channel()
    with channel.served() as url:
        # The address of the service is in the library: replace it, and run the program unchanged.
        elsewhere = "import sys, runpy, discord.http as h; h.Route.BASE = sys.argv[1]; runpy.run_path(sys.argv[2])"
        environment["DISCORD_WEBHOOK_URL"] = f"https://discord.com/api/webhooks/{'1' * 18}/{'t' * 68}"
        run(["-c", elsewhere, url, str(PROGRAMS / "with_discord.py")], tmp_path, environment)
    partials, final = sent(image_server)
    assert is_in_order(channel.pictures, [frame.data for frame in (*partials, final)])
    assert channel.contents[0].endswith("…")
    assert set(channel.contents[1:]) == {"An otter on a lake at dusk"}


def test_discord_says_that_an_image_is_blocked(image_server: Any, tmp_path: Path, environment: dict[str, str]) -> None:
    needs("openai", "aiohttp", "discord.py")
    image_server.use(faults=["moderation-after-previews"])
    channel = Channel()
    with channel.served() as url:
        elsewhere = "import sys, runpy, discord.http as h; h.Route.BASE = sys.argv[1]; runpy.run_path(sys.argv[2])"
        environment["DISCORD_WEBHOOK_URL"] = f"https://discord.com/api/webhooks/{'1' * 18}/{'t' * 68}"
        fail(["-c", elsewhere, url, str(PROGRAMS / "with_discord.py")], tmp_path, environment)
    assert "Your request was rejected by the safety system" in channel.contents[-1]


def test_the_notebook_holds_the_finals_and_nothing_else(
    image_server: Any, tmp_path: Path, environment: dict[str, str]
) -> None:
    needs("openai", "ipykernel", "nbclient")
    execute = (
        "import sys, nbformat, nbclient\n"
        "notebook = nbformat.read(sys.argv[1], 4)\n"
        "nbclient.NotebookClient(notebook, timeout=60).execute()\n"
        "nbformat.write(notebook, 'run.ipynb')"
    )
    run(["-c", execute, str(PROGRAMS / "with_jupyter.ipynb")], tmp_path, environment)
    cells = json.loads((tmp_path / "run.ipynb").read_text())["cells"]
    displays = [[each for each in cell.get("outputs", []) if each["output_type"] == "display_data"] for cell in cells]
    (in_full,), (small,) = filter(None, displays)
    first, second = (assemble(play.body).final for play in image_server.sent)
    assert first
    assert second
    assert (tmp_path / "otter.png").read_bytes() == first.data
    assert "".join(in_full["data"]["text/plain"]) == "".join(small["data"]["text/plain"]) == "final"
    assert first.data_url in "".join(in_full["data"]["text/html"])
    assert second.data_url in "".join(small["data"]["text/html"]), "a picture that is small enough stays as it is"


def test_the_page_has_every_program() -> None:
    there = {path.name for path in PROGRAMS.iterdir() if path.is_file()}
    assert there <= {name for _, name in DRAWN["PROGRAMS"]}
    assert DRAWN["page"]() == (DOCS / "screens.md").read_text(), "run: python docs/screens.py"
