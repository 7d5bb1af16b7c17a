"""Drives a Firefox without a window by WebDriver BiDi, which it speaks itself: no other program is needed.

Source: W3C WebDriver BiDi. Must not know: the page.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
KEYS = {"Tab": "\ue004", "Enter": "\ue006", "Escape": "\ue00c", "ArrowLeft": "\ue012", "Home": "\ue011"}
# Dark or light as the page sees it, and no request of the browser's own.
PREFERENCES = """
user_pref("layout.css.prefers-color-scheme.content-override", {scheme});
user_pref("app.update.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "http://127.0.0.1:1/");
"""


class Firefox:
    """One tab."""

    def __init__(self, socket: Any) -> None:
        self._socket, self._n_commands = socket, 0
        self.command("session.new", capabilities={})
        self._tab = self.command("browsingContext.create", type="tab")["context"]  # the first one has no focus

    def command(self, method: str, **params: Any) -> Any:
        """Send a command and return its result."""
        self._n_commands += 1
        self._socket.send(json.dumps({"id": self._n_commands, "method": method, "params": params}))
        while (answer := json.loads(self._socket.recv(timeout=15))).get("id") != self._n_commands:
            pass
        assert answer["type"] == "success", answer
        return answer["result"]

    def open(self, url: str, width: int = 1280, height: int = 900) -> None:
        size = {"width": width, "height": height}
        self.command("browsingContext.setViewport", context=self._tab, viewport=size)
        self.command("browsingContext.navigate", context=self._tab, url=url, wait="complete")

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression, awaited; it is sent as JSON."""
        expression = f"(async () => JSON.stringify(await ({expression})))()"
        target = {"context": self._tab}
        answer = self.command("script.evaluate", expression=expression, target=target, awaitPromise=True)
        assert answer["type"] == "success", answer["exceptionDetails"]["text"]
        return json.loads(answer["result"].get("value", "null"))

    def wait_for(self, expression: str) -> None:
        """Wait until an expression is true."""
        poll = "new Promise(done => { const look = () => (%s) ? done(true) : setTimeout(look, 20); look(); })"
        assert self.evaluate(poll % expression)

    def press(self, *keys: str) -> None:
        presses = [{"type": kind, "value": KEYS[key]} for key in keys for kind in ("keyDown", "keyUp")]
        self.command(
            "input.performActions", context=self._tab, actions=[{"type": "key", "id": "keys", "actions": presses}]
        )


@contextmanager
def firefox(folder: Path, *, is_dark: bool) -> Iterator[Firefox]:
    """Run a Firefox with a profile in `folder`; skip the test if there is none."""
    if FIREFOX is None:
        pytest.skip("Firefox is missing: apt-get install firefox-esr")
    client = pytest.importorskip("websockets.sync.client", reason="websockets is missing: pip install websockets")
    (folder / "user.js").write_text(PREFERENCES.format(scheme=0 if is_dark else 1))
    command = [FIREFOX, "--headless", "--no-remote", "--profile", str(folder), "--remote-debugging-port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=folder) as process:
        try:
            assert process.stderr
            address = next(
                found[0] for line in process.stderr if (found := re.search(r"ws://[\d.]+:\d+", line)) is not None
            )
            with client.connect(f"{address}/session", max_size=None, compression=None) as socket:
                yield Firefox(socket)
        finally:
            process.terminate()
