"""The objects of google-genai and ChatKit go in as they are; without their packages these tests are skipped."""

from __future__ import annotations

from typing import Any

import pytest
from samples import b64, png

from imgassemble import Assembler, Result, assemble

A, B, C = png(2, 1), png(3, 1), png(4, 1)


def assembled(events: list[Any]) -> Result:
    """Feed events to a strict assembler."""
    assembler = Assembler(strict=True)
    for event in events:
        assembler.feed(event)
    assembler.close()
    assert assembler.result is not None
    return assembler.result


def pictures(result: Result) -> dict[str, tuple[list[bytes], bytes | None]]:
    return {
        name: ([frame.data for frame in item.partials], item.final.data if item.final else None)
        for name, item in result.items.items()
    }


def test_chunks_of_google_genai_hold_raw_bytes() -> None:
    types = pytest.importorskip("google.genai.types")

    def chunk(*parts: Any, finish: Any = None) -> Any:
        candidate = types.Candidate(content=types.Content(role="model", parts=[*parts]), finish_reason=finish, index=0)
        return types.GenerateContentResponse(candidates=[candidate], response_id="r1", model_version="gemini")

    def part(data: bytes, *, thought: bool | None = None) -> Any:
        return types.Part(inline_data=types.Blob(data=data, mime_type="image/png"), thought=thought)

    sent = [
        chunk(types.Part(text="Planning", thought=True)),
        chunk(part(A, thought=True)),
        chunk(types.Part(text="Here."), part(B)),
        chunk(finish=types.FinishReason.STOP),
    ]
    result = assembled(sent)
    assert pictures(result) == {"image-0": ([A], B)}
    assert (result.text, result.responses[0].model) == ("Here.", "gemini")
    assert pictures(assemble(chunk(part(C)))) == {"image-0": ([], C)}  # a whole answer


def test_a_refusal_is_an_object_of_google_genai() -> None:
    types = pytest.importorskip("google.genai.types")
    candidate = types.Candidate(finish_reason=types.FinishReason.IMAGE_SAFETY, finish_message="Not this.")
    result = assembled([types.GenerateContentResponse(candidates=[candidate])])
    assert (result.outcome, str(result.error)) == ("failed", "the service failed (IMAGE_SAFETY): Not this.")


def test_an_answer_of_imagen_is_an_object_of_google_genai() -> None:
    types = pytest.importorskip("google.genai.types")
    image = types.GeneratedImage(image=types.Image(image_bytes=A, mime_type="image/png"))
    filtered = types.GeneratedImage(rai_filtered_reason="filtered")
    result = assembled([types.GenerateImagesResponse(generated_images=[image, filtered])])
    assert pictures(result) == {"image-0": ([], A), "image-1": ([], None)}
    assert "filtered" in str(result.error)


def test_events_of_interactions_are_objects_of_google_genai() -> None:
    interactions = pytest.importorskip("google.genai.interactions")
    from pydantic import TypeAdapter

    about = {
        "id": "int_1",
        "object": "interaction",
        "created": "2026-11-26T00:00:00Z",
        "updated": "2026-11-26T00:00:00Z",
    }
    image = {"type": "image", "data": b64(A), "mime_type": "image/png"}
    sent = [
        {"event_type": "interaction.created", "interaction": about | {"status": "in_progress"}},
        {"event_type": "step.delta", "index": 0, "delta": {"type": "thought_summary", "content": image}},
        {"event_type": "step.delta", "index": 1, "delta": image | {"data": b64(B)}},
        {"event_type": "an.event.of.tomorrow", "index": 2},
        {"event_type": "interaction.completed", "interaction": about | {"status": "completed"}},
    ]
    adapter = TypeAdapter(interactions.InteractionSSEEvent)
    assert pictures(assembled([adapter.validate_python(event) for event in sent])) == {"image-0": ([A], B)}


def test_events_of_chatkit_go_in_as_they_are() -> None:
    types = pytest.importorskip("chatkit.types")
    from pydantic import TypeAdapter

    def image(data: bytes) -> dict[str, str]:
        return {"id": "ig_a", "url": f"data:image/png;base64,{b64(data)}"}

    item = {"id": "gi_1", "type": "generated_image", "thread_id": "thr_1", "created_at": "2026-11-26T00:00:00"}
    update = {"type": "generated_image.updated", "image": image(A), "progress": 0.5}
    sent = [
        {"type": "thread.item.added", "item": item | {"image": None}},
        {"type": "thread.item.updated", "item_id": "gi_1", "update": update},
        {"type": "thread.item.done", "item": item | {"image": image(B)}},
    ]
    adapter: Any = TypeAdapter(types.ThreadStreamEvent)
    assert pictures(assembled([adapter.validate_python(event) for event in sent])) == {"gi_1": ([A], B)}
