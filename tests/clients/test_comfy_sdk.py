"""comfy-sdk, Comfy's client for its API v2: its previews and outputs go in as pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from clients.laws import PROMPT
from imgassemble import Outcome, Picture, assemble
from imgassemble.simulator import Order, pictures_of

comfy: Any = pytest.importorskip("comfy_sdk", reason="Comfy's client is not installed: pip install comfy-sdk")

WORKFLOW = {
    "3": {"class_type": "KSampler", "inputs": {"seed": 5, "steps": 20, "positive": ["6", 0]}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": PROMPT, "clip": ["4", 1]}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]}},
}


def pictures_of_job(server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Picture]:
    monkeypatch.setenv("COMFY_BASE_URL", server.url)
    with comfy.Comfy(api_key="-") as client:
        job = client.submit(client.workflows.from_json(WORKFLOW))
        for event in job.events():
            if isinstance(event, comfy.Preview):
                yield Picture(job.id, event.data)
        for output in job.result().outputs:
            yield Picture(job.id, output.to_bytes(), is_final=True)


def test_the_previews_and_the_output_of_a_job_are_the_pictures_that_were_drawn(
    image_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_server.use(size=(64, 48))
    result = assemble(pictures_of_job(image_server, monkeypatch))
    (shot,), (item,) = pictures_of(Order(api="comfy-api", prompt=PROMPT, size=(64, 48))), result.items.values()
    assert [frame.data for frame in item.partials] == list(shot.partials)
    assert result.require_final().data == shot.result


def test_a_job_whose_stream_breaks_still_has_its_output(image_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    image_server.use(size=(64, 48), faults=["disconnect-after-event=4"])
    result = assemble(pictures_of_job(image_server, monkeypatch))
    assert result.outcome is Outcome.COMPLETED
    assert [len(item.partials) for item in result.items.values()] == [1]


def test_a_job_that_fails_is_the_clients_own_error(image_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    image_server.use(size=(64, 48), faults=["response-failed"])
    with pytest.raises(comfy.JobFailed):
        assemble(pictures_of_job(image_server, monkeypatch))
