"""The server of the tests of its routes: one for each module, with the same order and pace in each test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from imgassemble.simulator import Pace
from simulator.asking import SMALL

if TYPE_CHECKING:
    from imgassemble.simulator.server import RunningServer


@pytest.fixture(scope="module")
def _running() -> Iterator[RunningServer]:
    from imgassemble.simulator.server import running_server  # it needs the extra `web`

    with running_server(SMALL) as running:
        yield running


@pytest.fixture
def server(_running: RunningServer) -> Iterator[RunningServer]:
    service = _running.service
    service.order, service.pace = SMALL, Pace()
    for past in (service.store, service.requests, service.sent):
        past.clear()
    yield _running
    _running.release()
