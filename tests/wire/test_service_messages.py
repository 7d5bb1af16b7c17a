"""Each service with messages of its own form gives its pictures: drafts, results, errors and refusals."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from samples import Wire, b64, picture, png, png_chunk

from imgassemble import Assembler, ImgassembleError, Item, Result, aassemble, assemble, open_events, parse_event
from imgassemble.wire.services import SERVICE_ROWS

A, B, C, D, E, F, G = (png(width, 1) for width in range(2, 9))
JPEG = picture("JPEG")
LINK = "https://example.org/otter.png"
OTHER_LINK = "https://example.org/newt.png"
CASES = Path(__file__).parents[2].parent / "shared" / "cases"


@dataclass(frozen=True, kw_only=True)
class Made:
    """The expected facts of one image; `partials` in order, their indices are 0, 1, … unless `indices` are given."""

    state: str = "completed"
    final: bytes | None = None
    partials: tuple[bytes, ...] = ()
    indices: tuple[float, ...] | None = None
    is_provisional: bool = False
    url: str | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Stream:
    """The messages of a stream: mappings, or (name, data) of server-sent events; and its expected result."""

    sent: list[Any]
    items: Mapping[str, Made] = field(default_factory=dict)
    outcome: str = "completed"
    error: str | None = None  # a piece of its sentence
    text: str | None = None
    is_whole: bool = False  # a whole answer: the same again is another answer

    def body(self) -> bytes:
        return b"".join(map(_bytes_of, self.sent))


def _bytes_of(message: Any) -> bytes:
    if isinstance(message, tuple):
        name, data = message
        return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
    return json.dumps(message).encode() + b"\n"


def url_of(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{b64(data)}"


def with_provenance(data: bytes) -> bytes:
    """The same PNG with other metadata."""
    at = data.index(b"IDAT") - 4
    return data[:at] + png_chunk(b"tEXt", b"a\0b") + data[at:]


# ---- messages


def seedream(kind: str, index: int | None, *, family: str = "image_generation", **more: Any) -> tuple[str, Wire]:
    name = f"{family}.partial_{kind}"
    place = {} if index is None else {"image_index": index}
    return name, {"type": name, "model": "seedream-5-0", "created": 1, **place, **more}


def seedream_sum(family: str = "image_generation", **more: Any) -> tuple[str, Wire]:
    name = f"{family}.completed"
    return name, {"type": name, "model": "seedream-5-0", "created": 1, "usage": {"total_tokens": 9}, **more}


def inline(data: bytes, **more: Any) -> Wire:
    return {"inlineData": {"mimeType": "image/png", "data": b64(data)}, **more}


def gemini(*parts: Wire, finish: str | None = None, **more: Any) -> Wire:
    candidate = {"content": {"role": "model", "parts": [*parts]}, "index": 0}
    return {"candidates": [candidate | ({"finishReason": finish} if finish else {})], "responseId": "r1", **more}


def candidate(number: int, *parts: Wire, finish: str | None = None) -> Wire:
    place = {"content": {"role": "model", "parts": list(parts)}, "index": number}
    return {"candidates": [{**place, **({"finishReason": finish} if finish else {})}], "responseId": "r1"}


def interaction(kind: str, **more: Any) -> tuple[str, Wire]:
    return kind, {"event_type": kind, **more}


def step(index: int, **delta: Any) -> tuple[str, Wire]:
    return interaction("step.delta", index=index, delta=delta)


def thought(index: int, data: bytes) -> tuple[str, Wire]:
    return step(index, type="thought_summary", content={"type": "image", "data": b64(data), "mime_type": "image/png"})


def interaction_end(status: str, **more: Any) -> tuple[str, Wire]:
    return interaction("interaction.completed", interaction={"id": "int_1", "status": status, **more})


INTERACTION = interaction("interaction.created", interaction={"id": "int_1", "status": "in_progress"})


def comfy_preview(data: bytes, node: str = "3") -> tuple[str, Wire]:
    return "preview", {"node_id": node, "content_type": "image/jpeg", "data_base64": b64(data)}


def comfy_output(url: str, name: str = "9", content_type: str = "image/png") -> tuple[str, Wire]:
    return "output", {"node_id": "9", "name": f"{name}.png", "type": "image", "content_type": content_type, "url": url}


def chatkit(kind: str, **more: Any) -> Wire:
    return {"type": f"thread.item.{kind}", **more}


def shown(name: str, data: bytes | str | None) -> Wire:
    image = None if data is None else {"id": "ig", "url": data if isinstance(data, str) else url_of(data)}
    return {"id": name, "type": "generated_image", "image": image}


def chatkit_draft(name: str, data: bytes, progress: float = 0.5) -> Wire:
    update = {"type": "generated_image.updated", "image": {"id": "ig", "url": url_of(data)}, "progress": progress}
    return chatkit("updated", item_id=name, update=update)


def tool(kind: str, call: str = "ig_a", **more: Any) -> Wire:
    return {"type": f"tool-{kind}", "toolCallId": call, **more}


def novelai(kind: str, data: bytes, sample: int = 0, **more: Any) -> tuple[str, Wire]:
    return kind, {"event_type": kind, "samp_ix": sample, "gen_id": 123, "image": b64(data), **more}


def swarm_preview(data: bytes | None, batch: str = "0") -> Wire:
    preview = {} if data is None else {"preview": url_of(data)}
    return {"gen_progress": {"batch_index": batch, "overall_percent": 0.1, "current_percent": 0.2, **preview}}


def swarm_image(data: bytes | str, batch: str = "0") -> Wire:
    return {"image": data if isinstance(data, str) else url_of(data), "batch_index": batch, "metadata": "{}"}


def invoke(kind: str, item: int = 7, **more: Any) -> Wire:
    return {"event": kind, "data": {"queue_id": "default", "item_id": item, **more}}


def invoke_preview(data: bytes | None, item: int = 7) -> Wire:
    image = None if data is None else {"width": 2, "height": 1, "dataURL": url_of(data)}
    return invoke("invocation_progress", item, message="Denoising", percentage=0.3, image=image)


def fooocus(stage: str, preview: bytes | None = None, *results: bytes | str) -> Wire:
    made = [{"base64": b64(each)} if isinstance(each, bytes) else {"base64": None, "url": each} for each in results]
    shown = None if preview is None else b64(preview)
    return {"job_id": "j", "job_stage": stage, "job_progress": 3, "job_step_preview": shown, "job_result": made}


def fal(*pictures: bytes | str, **more: Any) -> Wire:
    urls = [each if isinstance(each, str) else url_of(each) for each in pictures]
    return {"images": [{"url": each, "width": 2, "height": 1, "content_type": "image/png"} for each in urls], **more}


def vllm(kind: str, **more: Any) -> Wire:
    return {"object": "image.edit.chunk", "type": kind, "created": 1, "model": "hunyuan", **more}


def runware(name: str, **more: Any) -> Wire:
    return {"taskType": "imageInference", "taskUUID": "t", "imageUUID": name, **more}


def codex(method: str, **params: Any) -> Wire:
    return {"method": method, "params": {"threadId": "t", "turnId": "u", **params}}


def codex_item(status: str, result: str, name: str = "ig_a") -> Wire:
    return {"type": "imageGeneration", "id": name, "status": status, "revisedPrompt": "an otter", "result": result}


def part(data: bytes | str) -> Wire:
    return {"type": "image", "data": data if isinstance(data, str) else b64(data), "mimeType": "image/png"}


def answer(number: int, **result: Any) -> Wire:
    return {"jsonrpc": "2.0", "id": number, "result": result}


def artifact(name: str, *parts: Wire) -> Wire:
    return {"artifact": {"artifactId": name, "parts": [*parts]}}


def raw(data: bytes) -> Wire:
    return {"raw": b64(data), "mediaType": "image/png"}


STREAMS: dict[str, Stream] = {
    # Seedream, MiniMax
    "Seedream, two images in the order of completion": Stream(
        sent=[
            seedream("succeeded", 1, b64_json=b64(B)),
            seedream("succeeded", 0, b64_json=b64(A), size="2x1"),
            seedream_sum(),
        ],
        items={"image-1": Made(final=B), "image-0": Made(final=A)},
    ),
    "Seedream, one of three images fails": Stream(
        sent=[
            seedream("succeeded", 0, b64_json=b64(A)),
            seedream("failed", 1, error={"code": "OutputImageSensitiveContentDetected", "message": "not that one"}),
            seedream("succeeded", 2, b64_json=b64(C)),
            seedream_sum(),
        ],
        items={
            "image-0": Made(final=A),
            "image-1": Made(state="failed", error="not that one"),
            "image-2": Made(final=C),
        },
        outcome="failed",
        error="not that one",
    ),
    "Seedream, two requests in one stream": Stream(
        sent=[
            seedream("succeeded", 0, b64_json=b64(A)),
            seedream_sum(),
            seedream("succeeded", 0, b64_json=b64(B)),
            seedream("succeeded", 1, b64_json=b64(C)),
            seedream_sum(),
        ],
        items={"image-0": Made(final=A), "image-0@1": Made(final=B), "image-1": Made(final=C)},
    ),
    "Seedream, URLs": Stream(
        sent=[seedream("succeeded", 0, url=LINK), seedream("succeeded", 1, url=OTHER_LINK), seedream_sum()],
        items={
            "image-0": Made(state="incomplete", url=LINK, error="URL"),
            "image-1": Made(state="incomplete", url=OTHER_LINK, error="URL"),
        },
        outcome="incomplete",
        error=LINK,
    ),
    "Seedream, images without a number": Stream(
        sent=[seedream("succeeded", None, b64_json=b64(A)), seedream("succeeded", None, b64_json=b64(B))],
        items={"image-0": Made(final=A), "image-1": Made(final=B)},
        is_whole=True,
    ),
    "Seedream, no image but the sum": Stream(sent=[seedream_sum()], outcome="no_image", error="ended"),
    "MiniMax, an edit that ends with an error": Stream(
        sent=[
            seedream("succeeded", 0, family="image_edit", url=LINK),
            ("error", {"type": "error", "error": {"code": "1027", "message": "too many", "http_code": 429}}),
        ],
        items={"image-0": Made(state="failed", url=LINK, error="too many")},
        outcome="failed",
        error="too many",
    ),
    "Seedream, not streamed": Stream(
        sent=[
            {
                "model": "seedream-5-0",
                "created": 1,
                "data": [
                    {"b64_json": b64(A), "size": "2x1", "z_index": 0},
                    {"error": {"code": "Sensitive", "message": "no"}},
                ],
            }
        ],
        items={"image-0": Made(final=A), "image-1": Made(state="failed", error="no")},
        is_whole=True,
        outcome="failed",
        error="no",
    ),
    # Gemini
    "Gemini, two candidates that take turns": Stream(
        sent=[
            candidate(0, inline(A, thought=True)),
            candidate(1, inline(B, thought=True)),
            candidate(1, inline(D), finish="STOP"),
            candidate(0, inline(C), finish="STOP"),
        ],
        items={"image-0": Made(final=C, partials=(A,)), "image-1": Made(final=D, partials=(B,))},
    ),
    "Gemini, drafts, a result and words": Stream(
        sent=[
            gemini({"text": "Planning", "thought": True}),
            gemini(inline(A, thought=True)),
            gemini(inline(B, thought=True)),
            gemini({"text": "Here it is."}, inline(C, thoughtSignature="c2ln")),
            gemini({"text": ""}, finish="STOP", usageMetadata={"totalTokenCount": 9}),
        ],
        items={"image-0": Made(final=C, partials=(A, B))},
        text="Here it is.",
    ),
    "Gemini, the result equals a draft": Stream(
        sent=[gemini(inline(A, thought=True)), gemini(inline(A), finish="STOP")],
        items={"image-0": Made(final=A, partials=(A,))},
    ),
    "Gemini, the same result twice with other provenance": Stream(
        sent=[gemini(inline(A)), gemini(inline(with_provenance(A))), gemini(finish="STOP")],
        items={"image-0": Made(final=A)},
    ),
    "Gemini, the same result twice in one chunk": Stream(
        sent=[gemini(inline(A, thought=True), inline(A), inline(with_provenance(A)), inline(B), finish="STOP")],
        items={"image-0": Made(final=A, partials=(A,)), "image-1": Made(final=B)},
    ),
    "Gemini, a repeated draft": Stream(
        sent=[gemini(inline(A, thought=True)), gemini(inline(A, thought=True)), gemini(inline(B), finish="STOP")],
        items={"image-0": Made(final=B, partials=(A,))},
    ),
    "Gemini, two images in one chunk": Stream(
        sent=[gemini(inline(A), {"text": "and"}, inline(B), finish="STOP")],
        items={"image-0": Made(final=A), "image-1": Made(final=B)},
        text="and",
    ),
    "Gemini, drafts for each of two images": Stream(
        sent=[
            gemini(inline(A, thought=True)),
            gemini(inline(B)),
            gemini(inline(C, thought=True)),
            gemini(inline(D), finish="STOP"),
        ],
        items={"image-0": Made(final=B, partials=(A,)), "image-1": Made(final=D, partials=(C,))},
    ),
    "Gemini, refused after a draft": Stream(
        sent=[gemini(inline(A, thought=True)), gemini(finish="IMAGE_SAFETY")],
        items={"image-0": Made(state="failed", partials=(A,), error="IMAGE_SAFETY")},
        outcome="failed",
        error="IMAGE_SAFETY",
    ),
    "Gemini, refused with words": Stream(
        sent=[
            {
                "candidates": [
                    {"content": {}, "finishReason": "PROHIBITED_CONTENT", "finishMessage": "Not this.", "index": 0}
                ]
            }
        ],
        outcome="failed",
        error="(PROHIBITED_CONTENT): Not this.",
    ),
    "Gemini, a finish that is no refusal, because the picture came": Stream(
        sent=[gemini(inline(A)), gemini(finish="IMAGE_OTHER")],
        items={"image-0": Made(final=A)},
    ),
    "Gemini, a blocked prompt": Stream(
        sent=[{"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3}}],
        outcome="failed",
        error="SAFETY",
    ),
    "Gemini, words alone": Stream(
        sent=[gemini({"text": "I cannot draw that."}, finish="STOP")],
        outcome="no_image",
        error="I cannot draw that.",
        text="I cannot draw that.",
    ),
    "Gemini, an error after a draft": Stream(
        sent=[
            gemini(inline(A, thought=True)),
            {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "slow down"}},
        ],
        items={"image-0": Made(state="failed", partials=(A,), error="slow down")},
        outcome="failed",
        error="slow down",
    ),
    "Gemini, cut after a draft": Stream(
        sent=[gemini(inline(A, thought=True))],
        items={"image-0": Made(state="incomplete", partials=(A,), error="preview")},
        outcome="incomplete",
        error="resume the stream",
    ),
    "Gemini, two answers in one stream": Stream(
        sent=[gemini(inline(A), finish="STOP"), {**gemini(inline(A), finish="STOP"), "responseId": "r2"}],
        items={"image-0": Made(final=A), "image-0@r2": Made(final=A)},
    ),
    "Gemini, sound beside the picture": Stream(
        sent=[gemini({"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}}, inline(A), finish="STOP")],
        items={"image-0": Made(final=A)},
    ),
    "Gemini, a file in place of the picture": Stream(
        sent=[gemini({"fileData": {"mimeType": "image/png", "fileUri": LINK}}, finish="STOP")],
        items={"image-0": Made(state="incomplete", url=LINK, error="URL")},
        outcome="incomplete",
        error=LINK,
    ),
    "Imagen, one of two images is filtered": Stream(
        sent=[
            {
                "predictions": [
                    {"mimeType": "image/png", "bytesBase64Encoded": b64(A)},
                    {"raiFilteredReason": "Unable to show generated images."},
                ]
            }
        ],
        items={"image-0": Made(final=A), "image-1": Made(state="failed", error="Unable to show")},
        is_whole=True,
        outcome="failed",
        error="Unable to show",
    ),
    "Imagen, as google-genai's mapping": Stream(
        sent=[{"generated_images": [{"image": {"image_bytes": b64(A), "mime_type": "image/png"}}]}],
        items={"image-0": Made(final=A)},
    ),
    # Interactions
    "Interactions, a draft and a result": Stream(
        sent=[
            INTERACTION,
            interaction("step.start", index=0, step={"type": "thought"}),
            thought(0, A),
            interaction("step.stop", index=0),
            interaction("step.start", index=1, step={"type": "model_output"}),
            step(1, type="text", text="Done."),
            step(1, type="image", data=b64(B), mime_type="image/png"),
            interaction("step.stop", index=1),
            interaction("interaction.status_update", interaction_id="int_1", status="completed"),
            interaction_end("completed", usage={"total_tokens": 9}),
        ],
        items={"image-0": Made(final=B, partials=(A,))},
        text="Done.",
    ),
    "Interactions, two images, the first at the start of its step": Stream(
        sent=[
            INTERACTION,
            interaction(
                "step.start",
                index=1,
                step={"type": "model_output", "content": [{"type": "image", "data": b64(A), "mime_type": "image/png"}]},
            ),
            step(2, type="image", data=b64(B), mime_type="image/png"),
            interaction_end("completed"),
        ],
        items={"image-0": Made(final=A), "image-1": Made(final=B)},
    ),
    "Interactions, failed": Stream(
        sent=[
            INTERACTION,
            thought(0, A),
            interaction("error", error={"code": "blocked", "message": "not this picture"}),
            interaction_end("failed"),
        ],
        items={"image-0": Made(state="failed", partials=(A,), error="not this picture")},
        outcome="failed",
        error="not this picture",
    ),
    "Interactions, incomplete": Stream(
        sent=[INTERACTION, thought(0, A), interaction_end("budget_exceeded")],
        items={"image-0": Made(state="incomplete", partials=(A,), error="budget_exceeded")},
        outcome="incomplete",
        error="budget_exceeded",
    ),
    "Interactions, words alone": Stream(
        sent=[INTERACTION, step(0, type="text", text="I will not."), interaction_end("completed")],
        outcome="no_image",
        error="I will not.",
        text="I will not.",
    ),
    "Interactions, an event that the SDK does not know": Stream(
        sent=[
            INTERACTION,
            {"event_type": "UNKNOWN", "raw": step(0, type="image", data=b64(A), mime_type="image/png")[1]},
            interaction_end("completed"),
        ],
        items={"image-0": Made(final=A)},
    ),
    "Interactions, not streamed": Stream(
        sent=[
            {
                "object": "interaction",
                "id": "int_1",
                "status": "completed",
                "steps": [
                    {"type": "thought", "summary": [{"type": "image", "data": b64(A), "mime_type": "image/png"}]},
                    {
                        "type": "model_output",
                        "content": [
                            {"type": "text", "text": "Two."},
                            {"type": "image", "data": b64(B), "mime_type": "image/png"},
                            {"type": "image", "uri": LINK, "mime_type": "image/png"},
                        ],
                    },
                ],
            }
        ],
        items={
            "image-0": Made(final=B, partials=(A,)),
            "image-1": Made(state="incomplete", url=LINK, error="URL"),
        },
        outcome="incomplete",
        error=LINK,
        text="Two.",
    ),
    # ComfyUI API v2
    "ComfyUI API v2, previews and an output after the last status": Stream(
        sent=[
            ("status", {"status": "running"}),
            ("progress", {"value": 0.2, "nodes_done": 1, "nodes_total": 5, "current_node": "3"}),
            comfy_preview(JPEG),
            comfy_preview(JPEG),
            comfy_preview(picture("JPEG", 9, 6), node=""),
            ("log", {"level": "info", "message": "saved"}),
            ("status", {"status": "succeeded"}),
            comfy_output(LINK),
        ],
        items={
            "image-0": Made(state="incomplete", partials=(JPEG, picture("JPEG", 9, 6)), url=LINK, error="URL"),
        },
        outcome="incomplete",
        error=LINK,
    ),
    "ComfyUI API v2, two outputs, one of them twice, and a film": Stream(
        sent=[
            comfy_output(LINK),
            comfy_output(LINK),
            comfy_output("https://example.org/film.mp4", content_type="video/mp4"),
            comfy_output(OTHER_LINK),
            ("status", {"status": "succeeded"}),
        ],
        items={
            "image-0": Made(state="incomplete", url=LINK, error="URL"),
            "image-1": Made(state="incomplete", url=OTHER_LINK, error="URL"),
        },
        outcome="incomplete",
        error=LINK,
    ),
    "ComfyUI API v2, failed": Stream(
        sent=[comfy_preview(JPEG), ("status", {"status": "failed", "error": {"code": "oom", "message": "no memory"}})],
        items={"image-0": Made(state="failed", partials=(JPEG,), error="no memory")},
        outcome="failed",
        error="no memory",
    ),
    "ComfyUI API v2, canceled": Stream(
        sent=[comfy_preview(JPEG), ("status", {"status": "canceled"})],
        items={"image-0": Made(state="incomplete", partials=(JPEG,), error="canceled")},
        outcome="incomplete",
        error="canceled",
    ),
    # ChatKit
    "ChatKit, two images at once": Stream(
        sent=[
            {"type": "thread.created", "thread": {"id": "thr_1"}},
            chatkit("added", item=shown("gi_1", None)),
            chatkit("added", item=shown("gi_2", None)),
            chatkit_draft("gi_2", A),
            chatkit_draft("gi_1", A),
            chatkit_draft("gi_1", B),
            chatkit_draft("gi_1", B, 0.6),
            chatkit("done", item=shown("gi_1", C)),
            chatkit("done", item=shown("gi_2", D)),
            chatkit("done", item={"id": "m", "type": "assistant_message", "content": [
                {"type": "output_text", "text": "Here."}]}),
        ],
        items={"gi_1": Made(final=C, partials=(A, B)), "gi_2": Made(final=D, partials=(A,))},
        text="Here.",
    ),
    "ChatKit, the result equals the last draft, which is no PNG": Stream(
        sent=[chatkit("added", item=shown("gi_1", None)), chatkit_draft("gi_1", JPEG),
              chatkit("done", item=shown("gi_1", JPEG))],
        items={"gi_1": Made(final=JPEG, partials=(JPEG,))},
    ),
    "ChatKit, an image is removed": Stream(
        sent=[
            chatkit("added", item=shown("gi_1", None)),
            chatkit("done", item=shown("gi_1", A)),
            chatkit("removed", item_id="gi_1"),
            chatkit("removed", item_id="another"),
        ],
        items={"gi_1": Made(state="failed", error="the service removed the image")},
        outcome="failed",
        error="removed",
    ),
    "ChatKit, an error": Stream(
        sent=[
            chatkit("added", item=shown("gi_1", None)),
            chatkit_draft("gi_1", A),
            {"type": "error", "code": "stream.error", "message": "it broke", "allow_retry": True},
        ],
        items={"gi_1": Made(state="failed", partials=(A,), error="it broke")},
        outcome="failed",
        error="it broke",
    ),
    "ChatKit, a URL": Stream(
        sent=[chatkit("replaced", item=shown("gi_1", LINK))],
        items={"gi_1": Made(state="incomplete", url=LINK, error="URL")},
        outcome="incomplete",
        error=LINK,
    ),
    "ChatKit, a user's message": Stream(
        sent=[chatkit("done", item={"id": "m", "type": "user_message", "content": [
            {"type": "input_text", "text": "draw"}]})],
        outcome="no_image",
        error="thread.item.done",
    ),
    # The AI SDK
    "AI SDK, drafts and a result": Stream(
        sent=[
            {"type": "start", "messageId": "m1"},
            tool("input-start", toolName="image_generation"),
            tool("input-available", toolName="image_generation", input={}),
            tool("output-available", output={"result": b64(A)}, preliminary=True),
            tool("output-available", output={"result": b64(A)}, preliminary=True),
            tool("output-available", output={"result": b64(B)}, preliminary=True),
            tool("output-available", output={"result": b64(B)}),
            {"type": "text-delta", "id": "t", "delta": "Here."},
            {"type": "finish"},
        ],
        items={"ig_a": Made(final=B, partials=(A, B))},
        text="Here.",
    ),
    "AI SDK, another tool beside the image": Stream(
        sent=[
            tool("input-start", call="w", toolName="weather"),
            tool("output-available", call="w", output={"result": "sunny", "data": "AAAA"}),
            tool("output-available", call="x", output={"content": [{"type": "text", "text": "words"}]}),
            tool("output-error", call="y", errorText="no network"),
            tool("output-available", call="ig_b", output={"images": [{"b64_json": b64(A)}, {"b64_json": b64(B)}]}),
        ],
        items={"ig_b": Made(final=A), "ig_b-1": Made(final=B)},
    ),
    "AI SDK, outputs of other forms": Stream(
        sent=[
            tool("output-available", call="a", output=url_of(A), preliminary=True),
            tool("output-available", call="a", output=url_of(B)),
            tool("output-available", call="b", output={"type": "content", "value": [
                {"type": "text", "text": "here"}, {"type": "media", "data": b64(C), "mediaType": "image/png"}]}),
            tool("output-available", call="c", output="words"),
        ],
        items={"a": Made(final=B, partials=(A,)), "b": Made(final=C)},
    ),
    "AI SDK, the tool fails": Stream(
        sent=[tool("input-start", toolName="image_generation"), tool("output-error", errorText="it is blocked")],
        items={"ig_a": Made(state="failed", error="it is blocked")},
        outcome="failed",
        error="it is blocked",
    ),
    "AI SDK, an unknown tool fails, and no image comes": Stream(
        sent=[tool("output-error", call="z", errorText="it is blocked")],
        outcome="failed",
        error="it is blocked",
    ),
    "AI SDK, an error": Stream(
        sent=[{"type": "error", "errorText": "it broke"}], outcome="failed", error="it broke"
    ),
    "AI SDK, files of Gemini": Stream(
        sent=[
            {"type": "reasoning-file", "url": url_of(A), "mediaType": "image/png"},
            {"type": "file", "url": url_of(B), "mediaType": "image/png"},
            {"type": "file", "url": "data:text/plain;base64,QQ==", "mediaType": "text/plain"},
            {"type": "file", "url": url_of(C), "mediaType": "image/png"},
        ],
        items={"image-0": Made(final=B, partials=(A,)), "image-1": Made(final=C)},
    ),
    # NovelAI
    "NovelAI, two samples": Stream(
        sent=[
            novelai("intermediate", A, 0, step_ix=3),
            novelai("intermediate", A, 1, step_ix=3),
            novelai("intermediate", B, 0, step_ix=5),
            novelai("final", C, 1),
            novelai("final", D, 0),
        ],
        items={
            "image-0": Made(final=D, partials=(A, B), indices=(3, 5)),
            "image-1": Made(final=C, partials=(A,), indices=(3,)),
        },
    ),
    "NovelAI, without the name of the event in the data": Stream(
        sent=[("intermediate", {"samp_ix": 0, "step_ix": 0, "image": b64(A)}),
              ("final", {"samp_ix": 0, "gen_id": "g", "image": b64(B)})],
        items={"image-0": Made(final=B, partials=(A,))},
    ),
    "NovelAI, two requests of two images in one stream": Stream(
        sent=[
            novelai("intermediate", A, 0, step_ix=3),
            novelai("intermediate", A, 1, step_ix=3),
            novelai("final", B, 0),
            novelai("final", C, 1),
            novelai("intermediate", D, 0, step_ix=3),
            novelai("intermediate", G, 1, step_ix=3),
            novelai("final", E, 0),
            novelai("final", F, 1),
        ],
        items={
            "image-0": Made(final=B, partials=(A,), indices=(3,)),
            "image-1": Made(final=C, partials=(A,), indices=(3,)),
            "image-2": Made(final=E, partials=(D,), indices=(3,)),
            "image-3": Made(final=F, partials=(G,), indices=(3,)),
        },
    ),
    "NovelAI, an error": Stream(
        sent=[novelai("intermediate", A, 0, step_ix=0), ("error", {"event_type": "error", "message": "out of Anlas"})],
        items={"image-0": Made(state="failed", partials=(A,), error="out of Anlas")},
        outcome="failed",
        error="out of Anlas",
    ),
    # Engines
    "SwarmUI, two images, with equal first previews": Stream(
        sent=[
            {"status": {"waiting_gens": 1}, "backend_status": {"status": "running"}},
            swarm_preview(A, "0"),
            swarm_preview(None, "0"),
            swarm_preview(A, "1"),
            swarm_preview(A, "1"),
            swarm_image("View/local/raw/1.png", "1"),
            swarm_image(B, "1"),
            {"image": {"image": url_of(C), "batch_index": "0", "metadata": "{}"}},
            {"discard_indices": []},
        ],
        items={
            "image-0": Made(final=C, partials=(A,)),
            "image-1": Made(final=B, partials=(A,), url="View/local/raw/1.png"),
        },
    ),
    "SwarmUI, two requests in one stream": Stream(
        sent=[
            swarm_preview(A),
            swarm_image("View/local/raw/1.png"),
            swarm_preview(B),
            swarm_image(C),
            {"discard_indices": [0]},
        ],
        items={
            "image-0": Made(state="incomplete", partials=(A,), url="View/local/raw/1.png", error="URL"),
            "image-1": Made(state="failed", partials=(B,), error="discarded"),
        },
        outcome="failed",
        error="discarded",
    ),
    "SwarmUI, a discarded image": Stream(
        sent=[swarm_image(A, "0"), swarm_image(B, "1"), {"discard_indices": [1, 5]}],
        items={"image-0": Made(final=A), "image-1": Made(state="failed", error="discarded")},
        outcome="failed",
        error="discarded",
    ),
    "SwarmUI, an error": Stream(
        sent=[swarm_preview(A), {"error": "no backend"}],
        items={"image-0": Made(state="failed", partials=(A,), error="no backend")},
        outcome="failed",
        error="no backend",
    ),
    "InvokeAI, previews of two queue items": Stream(
        sent=[
            invoke("queue_item_status_changed", 7, status="in_progress"),
            invoke_preview(None),
            invoke_preview(A),
            invoke_preview(A, 8),
            invoke_preview(B),
            invoke("queue_item_status_changed", 7, status="completed"),
            invoke("queue_item_status_changed", 8, status="canceled"),
            invoke("queue_item_status_changed", 9, status="failed"),
        ],
        items={
            "7": Made(final=B, partials=(A, B), is_provisional=True),
            "8": Made(state="incomplete", partials=(A,), error="incomplete"),
        },
        outcome="incomplete",
        error="'8'",
    ),
    "InvokeAI, an error": Stream(
        sent=[invoke_preview(A), invoke("invocation_error", error_type="OOM", error_message="no memory")],
        items={"7": Made(state="failed", partials=(A,), error="no memory")},
        outcome="failed",
        error="no memory",
    ),
    "InvokeAI, an error before the first preview": Stream(
        sent=[invoke("invocation_error", error_type="OOM", error_message="no memory")],
        outcome="failed",
        error="no memory",
    ),
    "AUTOMATIC1111, polled": Stream(
        sent=[
            {"progress": 0.0, "eta_relative": 2.0, "state": {"job_no": 0}, "current_image": None},
            {"progress": 0.3, "eta_relative": 2.0, "state": {"job_no": 0}, "current_image": b64(A)},
            {"progress": 0.4, "eta_relative": 2.0, "state": {"job_no": 0}, "current_image": b64(A)},
            {"progress": 0.6, "eta_relative": 2.0, "state": {"job_no": 0}, "current_image": b64(B)},
            {"images": [b64(C), b64(D)], "parameters": {}, "info": "{}"},
        ],
        items={"image-0": Made(final=C, partials=(A, B)), "image-1": Made(final=D)},
        is_whole=True,
    ),
    "AUTOMATIC1111, two jobs in one stream": Stream(
        sent=[
            {"progress": 0.3, "state": {"job_no": 0}, "current_image": b64(A)},
            {"images": [b64(B)], "parameters": {}, "info": "{}"},
            {"progress": 0.3, "state": {"job_no": 0}, "current_image": b64(C)},
            {"images": [b64(D)], "parameters": {}, "info": "{}"},
        ],
        items={"image-0": Made(final=B, partials=(A,)), "image-0@1": Made(final=D, partials=(C,))},
        is_whole=True,
    ),
    "AUTOMATIC1111, an error with the name of its exception": Stream(
        sent=[{"error": "OutOfMemoryError", "detail": "", "body": "", "errors": "CUDA out of memory."}],
        outcome="failed",
        error="OutOfMemoryError: CUDA out of memory.",
    ),
    "AUTOMATIC1111, polled as by its page": Stream(
        sent=[
            {"active": True, "progress": 0.3, "eta": 2.0, "live_preview": url_of(A), "id_live_preview": 1},
            {"active": True, "progress": 0.4, "eta": 2.0, "live_preview": None, "id_live_preview": 1},
            {"active": True, "progress": 0.6, "eta": 2.0, "live_preview": url_of(B), "id_live_preview": 2},
            {"active": False, "completed": True, "progress": None, "live_preview": None, "id_live_preview": -1},
        ],
        items={"image-0": Made(state="incomplete", partials=(A, B), error="preview")},
        outcome="incomplete",
        error="'image-0'",
    ),
    "Fooocus-API, polled": Stream(
        sent=[
            fooocus("WAITING"),
            fooocus("RUNNING", A),
            fooocus("RUNNING", A),
            fooocus("RUNNING", B),
            fooocus("SUCCESS", None, C, D),
            fooocus("SUCCESS", None, C, D),
        ],
        items={"image-0": Made(final=C, partials=(A, B)), "image-1": Made(final=D)},
    ),
    "Fooocus-API, a URL": Stream(
        sent=[fooocus("SUCCESS", None, LINK)],
        items={"image-0": Made(state="incomplete", url=LINK, error="URL")},
        outcome="incomplete",
        error=LINK,
    ),
    # Others
    "fal, the last event is the result": Stream(
        sent=[{"progress": 0.5, "message": "working"}, fal(A, seed=1), fal(A), fal(B), fal(C, seed=1)],
        items={"image-0": Made(final=C, partials=(A, B, C))},
    ),
    "fal, two images": Stream(
        sent=[fal(A, B), fal(C, D)],
        items={"image-0": Made(final=C, partials=(A, C)), "image-1": Made(final=D, partials=(B, D))},
    ),
    "fal, an error after a draft": Stream(
        sent=[fal(A), {"error": {"message": "it broke"}}],
        items={"image-0": Made(state="failed", partials=(A,), error="it broke")},
        outcome="failed",
        error="it broke",
    ),
    "fal, URLs": Stream(
        sent=[fal(OTHER_LINK), fal(LINK)],
        items={"image-0": Made(state="incomplete", url=LINK, error="URL")},
        outcome="incomplete",
        error=LINK,
    ),
    "fal, one image": Stream(
        sent=[{"image": {"url": url_of(A), "content_type": "image/png"}, "seed": 1}],
        items={"image-0": Made(final=A, partials=(A,))},
    ),
    "vLLM-Omni": Stream(
        sent=[vllm("ar_delta", delta="think"), vllm("image", data=[{"b64_json": b64(A)}], size="2x1"),
              vllm("image", data=[{"b64_json": b64(B)}])],
        items={"image-0": Made(final=A), "image-1": Made(final=B)},
    ),
    "vLLM-Omni, an error": Stream(
        sent=[vllm("ar_delta", delta="think"), {"object": "error", "error": {"message": "it broke"}}],
        outcome="failed",
        error="it broke",
    ),
    "Runware": Stream(
        sent=[
            {"data": [{"taskType": "authentication", "connectionSessionUUID": "s"}]},
            {"data": [runware("i1", imageBase64Data=b64(A), imageURL=LINK), runware("i2", imageDataURI=url_of(B))]},
            {"data": [runware("i3", imageURL=OTHER_LINK)]},
        ],
        items={
            "i1": Made(final=A, url=LINK),
            "i2": Made(final=B),
            "i3": Made(state="incomplete", url=OTHER_LINK, error="URL"),
        },
        outcome="incomplete",
        error=OTHER_LINK,
    ),
    "Runware, an error": Stream(
        sent=[
            {"data": [runware("i1", imageBase64Data=b64(A))]},
            {"errors": [{"code": "timeout", "message": "too slow", "taskUUID": "t"}]},
        ],
        items={"i1": Made(final=A)},
        outcome="failed",
        error="too slow",
    ),
    "xAI's tool": Stream(
        sent=[{"__type": "image_generation_result", "result": url_of(A), "image_uuid": "u1"},
              {"__type": "image_generation_result", "result": url_of(B), "image_uuid": "u2"}],
        items={"u1": Made(final=A), "u2": Made(final=B)},
    ),
    "Codex app-server": Stream(
        sent=[
            {"id": 0, "result": {"userAgent": "codex"}},
            codex("turn/started", turn={"id": "u", "status": "inProgress"}),
            codex("item/started", item=codex_item("in_progress", "")),
            codex("item/completed", item=codex_item("generating", b64(A))),
            codex("item/completed", item={"type": "agentMessage", "id": "m", "text": "Here."}),
            codex("turn/completed", turn={"id": "u", "status": "completed"}),
        ],
        items={"ig_a": Made(final=A)},
        text="Here.",
    ),
    "Codex app-server, an error after which it tries again": Stream(
        sent=[
            codex("error", error={"message": "Reconnecting... 1/5"}, willRetry=True),
            codex("item/completed", item=codex_item("completed", b64(A))),
            codex("turn/completed", turn={"id": "u", "status": "completed"}),
        ],
        items={"ig_a": Made(final=A)},
    ),
    "Codex app-server, an error": Stream(
        sent=[codex("error", error={"message": "no network"}, willRetry=False)],
        outcome="failed",
        error="no network",
    ),
    "Codex app-server, failed": Stream(
        sent=[
            codex("item/started", item=codex_item("in_progress", "")),
            codex("item/completed", item=codex_item("failed", "")),
            codex("turn/completed", turn={"id": "u", "status": "failed", "error": {"message": "no credit"}}),
        ],
        items={"ig_a": Made(state="failed", error="no credit")},
        outcome="failed",
        error="no credit",
    ),
    "AG-UI": Stream(
        sent=[
            {"type": "RUN_STARTED", "threadId": "t", "runId": "r"},
            {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "Here."},
            {"type": "TOOL_CALL_RESULT", "messageId": "m", "toolCallId": "w", "content": "sunny"},
            {
                "type": "TOOL_CALL_RESULT",
                "messageId": "m",
                "toolCallId": "call_1",
                "content": [
                    {"type": "text", "text": "two"},
                    {"type": "image", "source": {"type": "data", "value": b64(A), "mimeType": "image/png"}},
                    {"type": "image", "source": {"type": "url", "value": LINK}},
                ],
            },
            {"type": "RUN_FINISHED", "threadId": "t", "runId": "r"},
        ],
        items={"call_1": Made(final=A), "call_1-1": Made(state="incomplete", url=LINK, error="URL")},
        outcome="incomplete",
        error=LINK,
        text="Here.",
    ),
    "AG-UI, an error": Stream(
        sent=[{"type": "RUN_STARTED", "runId": "r"}, {"type": "RUN_ERROR", "message": "it broke", "code": "x"}],
        outcome="failed",
        error="it broke",
    ),
    "MCP": Stream(
        sent=[
            {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}},
            {"jsonrpc": "2.0", "id": 0, "result": {"protocolVersion": "2025-06-18", "capabilities": {}}},
            answer(1, content=[{"type": "text", "text": "Two."}, part(A), part(B)], isError=False),
        ],
        items={"image-0": Made(final=A), "image-1": Made(final=B)},
        text="Two.",
    ),
    "MCP, the tool fails": Stream(
        sent=[answer(1, content=[{"type": "text", "text": "quota is used up"}], isError=True)],
        outcome="failed",
        error="quota is used up",
    ),
    "MCP, an error of the protocol": Stream(
        sent=[{"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "unknown tool"}}],
        outcome="failed",
        error="unknown tool",
    ),
    "MCP, the result of a call alone, with a resource": Stream(
        sent=[{"content": [{"type": "resource", "resource": {"blob": b64(A), "mimeType": "image/png"}}],
               "isError": False}],
        items={"image-0": Made(final=A)},
    ),
    "A2A": Stream(
        sent=[
            {"statusUpdate": {"taskId": "t", "status": {"state": "TASK_STATE_WORKING"}}},
            {"artifactUpdate": {"taskId": "t", **artifact("a1", {"text": "Here."}, raw(A), raw(B))}},
            {"artifactUpdate": {"taskId": "t", **artifact("a2", {"url": LINK, "mediaType": "image/png"})}},
            {"statusUpdate": {"taskId": "t", "status": {"state": "TASK_STATE_COMPLETED"}}},
        ],
        items={
            "a1": Made(final=A),
            "a1-1": Made(final=B),
            "a2": Made(state="incomplete", url=LINK, error="URL"),
        },
        outcome="incomplete",
        error=LINK,
    ),
    "A2A 0.x in JSON-RPC": Stream(
        sent=[
            answer(1, kind="artifact-update", taskId="t",
                   **artifact("a1", {"kind": "file", "file": {"bytes": b64(A), "mimeType": "image/png"}})),
            answer(1, kind="status-update", taskId="t", status={"state": "completed"}, final=True),
        ],
        items={"a1": Made(final=A)},
    ),
    "A2A, a message": Stream(
        sent=[answer(1, kind="message", parts=[
            {"kind": "text", "text": "Here."}, {"kind": "file", "file": {"bytes": b64(A), "mimeType": "image/png"}}]),
            {"message": {"messageId": "m", "parts": [{"raw": b64(B), "mediaType": "image/png"}]}}],
        items={"image-0": Made(final=A), "image-1": Made(final=B)},
        text="Here.",
    ),
    "A2A, a failed task": Stream(
        sent=[answer(1, kind="status-update", status={
            "state": "failed", "message": {"parts": [{"kind": "text", "text": "no model"}]}})],
        outcome="failed",
        error="no model",
    ),
    "A2A, two tasks that name their artifacts alike": Stream(
        sent=[answer(1, kind="task", id=task, status={"state": "completed"}, artifacts=[
            artifact("a1", {"raw": b64(picture), "mediaType": "image/png"})["artifact"]])
              for task, picture in (("t1", A), ("t2", B))],
        items={"a1": Made(final=A), "a1@t2": Made(final=B)},
    ),
    "A2A, not streamed": Stream(
        sent=[answer(1, kind="task", status={"state": "completed"}, artifacts=[
            artifact("a1", {"raw": b64(A), "mediaType": "image/png"})["artifact"]])],
        items={"a1": Made(final=A)},
    ),
}  # fmt: skip


# ---- each stream gives its result


def made_of(item: Item) -> Made:
    indices = tuple(frame.index for frame in item.partials if frame.index is not None)
    return Made(
        state=str(item.state),
        final=item.final.data if item.final else None,
        partials=tuple(frame.data for frame in item.partials),
        indices=None if indices == tuple(range(len(indices))) else indices,
        is_provisional=item.is_provisional,
        url=item.url,
        error=str(item.error) if item.error else None,
    )


def check(result: Result, stream: Stream) -> None:
    found = {name: made_of(item) for name, item in result.items.items()}
    for name, expected in stream.items.items():
        if expected.error and name in found:
            assert expected.error in (found[name].error or ""), name
            found[name] = replace(found[name], error=expected.error)
    assert found == stream.items
    assert result.outcome == stream.outcome, result.error
    assert (stream.error or "") in str(result.error or "")
    assert (result.error is None) == (stream.error is None)
    assert result.text == stream.text


every_stream = pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)


@every_stream
def test_a_stream_of_a_service_gives_its_images(stream: Stream) -> None:
    check(assemble([stream.body()]), stream)


@every_stream
def test_a_stream_of_a_service_that_is_cut_anywhere_gives_the_same(stream: Stream) -> None:
    body = stream.body()
    check(assemble([body[at : at + 5] for at in range(0, len(body), 5)]), stream)


@every_stream
def test_a_strict_assembler_gives_the_same(stream: Stream) -> None:
    events, assembler = list(open_events(BytesIO(stream.body()))), Assembler(strict=True)
    for event in events:
        assembler.feed(event)
    try:
        assembler.close()
    except ImgassembleError:
        assert stream.outcome == "incomplete"
    assert assembler.result is not None
    check(assembler.result, stream)


@every_stream
def test_a_typed_event_of_a_service_gives_the_same(stream: Stream) -> None:
    check(assemble([parse_event(event) for event in open_events(BytesIO(stream.body()))]), stream)


@every_stream
def test_a_stream_of_a_service_that_comes_twice_gives_the_same_images(stream: Stream) -> None:
    if stream.is_whole:
        return
    result = assemble([stream.body()])
    again = assemble([event for event in open_events(BytesIO(stream.body())) for _ in range(2)])
    kept = {name: item.final and item.final.data for name, item in again.items.items()}
    assert kept == {name: item.final and item.final.data for name, item in result.items.items()}


JUNK: tuple[Any, ...] = (None, "", "words", -1, True, [[]], {"type": 3}, 10**30)


def damaged(value: Any) -> Iterator[Any]:
    """The same message, with junk in the place of each of its values."""
    yield from JUNK
    if isinstance(value, dict):
        for name, member in value.items():
            yield from ({**value, name: each} for each in damaged(member))
    elif isinstance(value, list):
        for at, member in enumerate(value):
            yield from ([*value[:at], each, *value[at + 1 :]] for each in damaged(member))


@every_stream
def test_a_damaged_message_raises_nothing(stream: Stream) -> None:
    for event in open_events(BytesIO(stream.body())):
        assembler = Assembler()
        for each in damaged(event):
            assembler.feed(each if isinstance(each, dict) else {"data": each})
        assembler.close()
        assert assembler.result is not None


def test_pictures_can_be_raw_bytes() -> None:
    sent = [
        {"event_type": "intermediate", "samp_ix": 0, "step_ix": 4, "gen_id": 1, "image": A},
        {"event_type": "final", "samp_ix": 0, "gen_id": 1, "image": memoryview(B)},
    ]
    assert made_of(assemble(sent).items["image-0"]) == Made(final=B, partials=(A,), indices=(4,))


def test_the_sum_of_seedream_is_the_usage_of_the_response() -> None:
    (summary,) = assemble([STREAMS["Seedream, two images in the order of completion"].body()]).responses
    assert summary.image_usage == {"total_tokens": 9}


@pytest.mark.parametrize(
    "message",
    [
        {"current_image": b64(A), "progress": 0.25, "eta_relative": 2.0, "state": {}},
        {"live_preview": url_of(A), "progress": 0.25, "id_live_preview": 1},
        {"gen_progress": {"batch_index": "0", "overall_percent": 0.25, "preview": url_of(A)}},
        {"type": "invocation_progress", "item_id": 7, "percentage": 0.25, "image": {"dataURL": url_of(A)}},
        {"job_stage": "Running", "job_progress": 25, "job_step_preview": b64(A)},
        chatkit_draft("gi_a", A, 0.25),
    ],
    ids=["AUTOMATIC1111", "its page", "SwarmUI", "InvokeAI", "Fooocus", "ChatKit"],
)
def test_the_progress_beside_a_draft_is_a_setting_in_percent(message: Wire) -> None:
    (item,) = assemble([message]).items.values()
    assert item.settings["percent"] == 25


def test_a_data_url_in_the_place_of_a_link_is_the_picture() -> None:
    result = assemble(open_events(BytesIO(_bytes_of(comfy_output(url_of(A))))))
    assert (result.require_final().data, result.items["image-0"].url) == (A, None)


def test_a_draft_is_no_result_if_the_stream_raised() -> None:
    assembler = Assembler()
    assembler.feed(fal(A))
    assembler.close(ConnectionError("reset"))
    assert made_of(assembler["image-0"]).final is None
    assert assembler.outcome == "incomplete"


@pytest.mark.parametrize("is_async", [False, True])
def test_the_last_url_is_fetched_at_the_end_of_the_stream(is_async: bool) -> None:
    asked: list[str] = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        return A

    sent = [fal(OTHER_LINK), fal(LINK)]
    result = asyncio.run(aassemble(sent, fetch=fetch)) if is_async else assemble(sent, fetch=fetch)
    assert asked == [LINK]
    assert made_of(result.items["image-0"]) == Made(final=A, url=LINK)
    assert result.outcome == "completed"


def test_every_row_of_a_service_has_a_stream_here() -> None:
    events = [event for stream in STREAMS.values() for event in open_events(BytesIO(stream.body()))]
    assert set(SERVICE_ROWS) <= {parse_event(event).type for event in events}
