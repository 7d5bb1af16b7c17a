"""The tables of services, engines and protocols with messages of their own form: where their pictures are.

Must not know: pydantic, bytes, items, listeners.
Sources: the clients and documents that docs/wire.md lists.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..states import Ending, State, Witness
from .event_rows import EventRow, Layout, Place, Shape, Way, Ways, Words

_OWN, _DONE = Witness.OWN, Witness.DONE
_IMAGE_PART = (".type", "image")
_DATA: Mapping[str, Ways] = {"b64": ".data", "link": ".uri", "media_type": ".mime_type"}

# Gemini: a finish without a picture, for any reason but these, is a refusal.
_FINISHES: Mapping[str, Ending | None] = {
    "stop": Ending.COMPLETED,
    "max_tokens": Ending.INCOMPLETE,
    "finish_reason_unspecified": None,
    "continuation": None,
    "*": Ending.REFUSED,
}


def _row(
    sender: str,
    *places: Place,
    witness: Witness | None = None,
    is_partial: bool = False,
    word: State | None = None,
    ending: Ending | None = None,
    begins: bool = False,
    **layout: object,
) -> EventRow:
    """Return the row of a type whose images have no numbers, unless a place names them."""
    return EventRow(
        Shape.PLACED,
        sender,
        word=word,
        witness=witness,
        is_partial=is_partial,
        ending=ending,
        begins=begins,
        is_numbered=False,
        layout=Layout(places=places, **layout),  # type: ignore[arg-type] # its own members
    )


# fmt: off
_GEMINI, _INTERACTIONS, _COMFY = "Gemini generateContent", "Gemini Interactions", "ComfyUI API v2"
_CHATKIT, _AI_SDK, _SWARM, _INVOKE = "ChatKit", "AI SDK", "SwarmUI", "InvokeAI"
_A1111 = "AUTOMATIC1111, Forge, SD.Next"
_CODEX, _A2A = "Codex app-server", "A2A"

_SHOWN_IMAGE: Mapping[str, Ways] = {"item_id": ".id", "b64": ".image.url"}
_TOOL_ID: Mapping[str, Ways] = {"item_id": "tool_call_id"}
_TOOL_CALL = _row(_AI_SDK, Place("", _TOOL_ID, where=(".tool_name", "image_generation"), is_item=True))
_INVOKE_ITEM: Mapping[str, Ways] = {"item_id": "item_id", "status": ".status"}
_CODEX_ITEM = Place("item", {"item_id": ".id", "b64": ".result", "status": ".status", "error": ".error",
                             "revised_prompt": ".revised_prompt"}, where=(".type", "imageGeneration"), is_item=True)
_MESSAGE_PARTS: Mapping[str, Ways] = {
    "b64": (".raw", ".file.bytes"), "link": (".url", ".file.uri"), "media_type": (".media_type", ".file.mime_type"),
}
_ARTIFACT_PARTS: Mapping[str, Ways] = {"item_id": ".^.artifact_id", **_MESSAGE_PARTS}
_TOOL_PICTURES = (Place("content.*", _DATA, where=_IMAGE_PART),
                  Place("content.*", {"b64": ".resource.blob", "media_type": ".resource.mime_type"},
                        where=(".type", "resource"), is_sure=False))

SERVICE_ROWS: Mapping[str, EventRow] = {
    # Gemini, and Imagen
    "candidates": _row(_GEMINI,
        Place("candidates.*.content.parts.*",
              {"b64": ".inline_data.data", "link": ".file_data.file_uri", "is_draft": ".thought",
               "track": ".^.^.index", "media_type": (".inline_data.mime_type", ".file_data.mime_type")}, is_sure=False),
        witness=_OWN, endings=_FINISHES,
        words=(Words("candidates.*.content.parts.*", unless=".thought"),),
        facts={"response_id": "response_id", "model": "model_version", "usage": "usage_metadata",
               "status": ("candidates.*.finish_reason", "prompt_feedback.block_reason"),
               "reason": ("candidates.*.finish_message", "prompt_feedback.block_reason_message")}),
    "predictions": _row("Imagen",
        Place("predictions.*", {"b64": ".bytes_base64_encoded", "media_type": ".mime_type",
                                "error": ".rai_filtered_reason", "revised_prompt": ".prompt"}),
        witness=_OWN, is_whole=True),
    "generated_images": _row("Imagen, google-genai",
        Place("generated_images.*", {"b64": ".image.image_bytes", "link": ".image.gcs_uri",
                                     "media_type": ".image.mime_type", "error": ".rai_filtered_reason",
                                     "revised_prompt": ".enhanced_prompt"}),
        witness=_OWN, is_whole=True),
    "interaction.created": _row(_INTERACTIONS, begins=True,
        facts={"response_id": "interaction.id", "model": "interaction.model"}),
    "step.start": _row(_INTERACTIONS,
        Place("step.content.*", _DATA, where=_IMAGE_PART),
        Place("step.summary.*", _DATA, where=_IMAGE_PART, is_draft=True), witness=_OWN,
        words=(Words("step.content.*", where=(".type", "text")),)),
    "step.delta": _row(_INTERACTIONS,
        Place("delta", _DATA, where=_IMAGE_PART),
        Place("delta.content", _DATA, where=_IMAGE_PART, is_draft=True), witness=_OWN,
        words=(Words("delta", where=(".type", "text")),)),
    "interaction.status_update": _row(_INTERACTIONS,
        facts={"response_id": "interaction_id", "status": "status"}),
    "interaction.completed": _row(_INTERACTIONS,
        Place("interaction.steps.*.summary.*", _DATA, where=_IMAGE_PART, is_draft=True),
        Place("interaction.steps.*.content.*", _DATA, where=_IMAGE_PART), witness=_OWN,
        facts={"response_id": "interaction.id", "status": "interaction.status", "usage": "interaction.usage",
               "error": "interaction.error", "model": "interaction.model"}),
    "interaction": _row("Gemini Interactions, not streamed",
        Place("steps.*.summary.*", _DATA, where=_IMAGE_PART, is_draft=True),
        Place("steps.*.content.*", _DATA, where=_IMAGE_PART),
        Place("outputs.*", _DATA, where=_IMAGE_PART), witness=_OWN, is_whole=True, begins=True,
        words=(Words("steps.*.content.*", where=(".type", "text")), Words("outputs.*", where=(".type", "text"))),
        facts={"response_id": "id", "status": "status", "usage": "usage", "error": "error", "model": "model"}),
    # ComfyUI API v2: the name of the server-sent event decides, and the members beside it
    "comfy.preview": _row(_COMFY, Place("", {"b64": ".data_base64", "media_type": ".content_type"}), is_partial=True),
    "comfy.output": _row(_COMFY,
        Place("", {"b64": ".url", "link": ".url", "media_type": ".content_type"}, is_sure=False), witness=_OWN),
    "comfy.status": _row(_COMFY, facts={"status": "status", "error": "error"}),
    # ChatKit
    "thread.item.added": _row(_CHATKIT, Place("item", _SHOWN_IMAGE, where=(".type", "generated_image"), is_item=True)),
    "thread.item.updated": _row(_CHATKIT,
        Place("update", {"item_id": "item_id", "b64": ".image.url", "share": ".progress"},
              where=(".type", "generated_image.updated")),
        is_partial=True, has_true_claims=False),
    "thread.item.done": (_CHATKIT_DONE := _row(_CHATKIT,
        Place("item", _SHOWN_IMAGE, where=(".type", "generated_image"), is_item=True), witness=_DONE,
        words=(Words("item.content.*", where=(".type", "output_text")),), has_true_claims=False)),
    "thread.item.replaced": _CHATKIT_DONE,
    "thread.item.removed": _row(_CHATKIT, Place("", {"item_id": "item_id"}, is_item=True), word=State.FAILED,
        witness=_DONE, is_of_known=True, failure="the service removed the image"),
    # The UI message stream of the AI SDK
    "tool-input-start": _TOOL_CALL,
    "tool-input-available": _TOOL_CALL,
    "tool-output-available": _row(_AI_SDK,
        Place("output", {**_TOOL_ID, "is_draft": "preliminary", "media_type": (".media_type", ".mime_type"),
                         "b64": (".result", ".image", ".b64_json", ".base64", ".data", ".url")}, is_sure=False),
        Place("", {**_TOOL_ID, "is_draft": "preliminary", "b64": ".output"}, is_sure=False),
        Place("output.value.*", {**_TOOL_ID, "is_draft": "preliminary", "b64": ".data",
                                 "media_type": ".media_type"}, is_sure=False),
        Place("output.content.*", {**_TOOL_ID, "is_draft": "preliminary", "b64": ".data",
                                   "media_type": (".media_type", ".mime_type")}, is_sure=False),
        Place("output.images.*", {**_TOOL_ID, "is_draft": "preliminary", "b64": (".b64_json", ".base64", ".url"),
                                  "media_type": ".media_type"}, is_sure=False),
        witness=_DONE),
    "tool-output-error": _row(_AI_SDK, Place("", {**_TOOL_ID, "error": ".error_text"}, is_item=True),
        word=State.FAILED, witness=_DONE, ending=Ending.REFUSED, is_of_known=True, facts={"error": "error_text"}),
    "file": _row(_AI_SDK, Place("", {"b64": ".url", "media_type": ".media_type"}, is_sure=False), witness=_OWN),
    "reasoning-file": _row(_AI_SDK, Place("", {"b64": ".url", "media_type": ".media_type"}, is_sure=False),
        is_partial=True),
    # NovelAI
    "intermediate": _row("NovelAI",
        Place("", {"b64": ".image", "track": ".samp_ix", "partial_image_index": ".step_ix"}), is_partial=True),
    "novelai.final": _row("NovelAI", Place("", {"b64": ".image", "track": ".samp_ix"}), witness=_OWN),
    # Engines on one's own machine
    "gen_progress": _row(_SWARM,
        Place("gen_progress", {"b64": ".preview", "track": ".batch_index", "share": ".overall_percent"}),
        is_partial=True),
    "batch_image": _row(_SWARM,
        Place("", {"b64": ".image", "link": ".image", "track": ".batch_index"}),
        Place("image", {"b64": ".image", "link": ".image", "track": ".batch_index"}), witness=_OWN),
    "discard_indices": _row(_SWARM, Place("discard_indices.*", {"track": "."}, is_item=True), word=State.FAILED,
        witness=_DONE, is_of_known=True, failure="the service discarded the image"),
    "invocation_progress": _row(_INVOKE,
        Place("image", {"item_id": "item_id", "b64": (".data_url", ".dataURL"), "share": "percentage"}),
        is_partial=True),
    "invocation_error": _row(_INVOKE, Place("", {"item_id": "item_id", "error": (".error_message", ".error")},
                                            is_item=True),
        word=State.FAILED, witness=_OWN, ending=Ending.REFUSED, is_of_known=True,
        facts={"error": ("error_message", "error")}),
    "queue_item_status_changed": _row(_INVOKE, Place("", {**_INVOKE_ITEM, "error": ".error_message"}, is_item=True),
        witness=_OWN, is_of_known=True),
    "current_image": _row(_A1111,
        Place("", {"b64": ".current_image", "share": ".progress", "eta_s": ".eta_relative"}), is_partial=True),
    "live_preview": _row(_A1111,
        Place("", {"b64": ".live_preview", "share": ".progress", "eta_s": ".eta"}), is_partial=True),
    "made_images": _row(_A1111, Place("images.*", {"b64": ".", "number": "#"}, is_sure=False), witness=_OWN,
        ending=Ending.COMPLETED),
    "job_stage": _row("Fooocus-API",
        Place("", {"b64": ".job_step_preview", "percent": ".job_progress"}, is_draft=True),
        Place("job_result.*", {"b64": ".base64", "link": ".url", "number": "#"}), witness=_OWN,
        facts={"response_id": "job_id", "status": "job_stage", "error": "error"}),
    # Other services
    "listed_images": _row("fal",
        Place("images.*", {"b64": ".url", "media_type": ".content_type", "number": "#"}, is_sure=False),
        Place("image", {"b64": ".url", "media_type": ".content_type"}, is_sure=False),
        is_partial=True, is_last_result=True),
    "image.edit.chunk": EventRow(Shape.IMAGES, "vLLM-Omni", witness=_OWN, is_numbered=False),
    "imageInference": _row("Runware",
        Place("data.*", {"item_id": (".image_uuid", ".imageUUID"), "link": (".image_url", ".imageURL"),
                         "b64": (".image_base64_data", ".imageDataURI")}), witness=_OWN),
    "image_generation_result": _row("xAI",
        Place("", {"item_id": ".image_uuid", "b64": ".result", "revised_prompt": ".prompt"}), witness=_OWN),
    # Protocols of agents
    "turn/started": _row(_CODEX, begins=True, facts={"response_id": "turn.id"}),
    "item/started": _row(_CODEX, _CODEX_ITEM, facts={"response_id": "turn_id"}),
    "item/completed": _row(_CODEX, _CODEX_ITEM, witness=_DONE, facts={"response_id": "turn_id"},
        words=(Words("item", where=(".type", "agentMessage")),)),
    "error.retried": EventRow(Shape.TEXT, _CODEX),
    "turn/completed": _row(_CODEX, facts={"response_id": "turn.id", "status": "turn.status", "error": "turn.error"}),
    "RUN_STARTED": _row("AG-UI", begins=True, facts={"response_id": "run_id"}),
    "RUN_FINISHED": _row("AG-UI", ending=Ending.COMPLETED, facts={"response_id": "run_id"}),
    "TOOL_CALL_RESULT": _row("AG-UI",
        Place("content.*", {**_TOOL_ID, "b64": (".source.value", ".data"),
                            "media_type": (".source.mime_type", ".mime_type")}, where=_IMAGE_PART), witness=_DONE),
    "TEXT_MESSAGE_CONTENT": EventRow(Shape.TEXT, "AG-UI"),
    "RUN_ERROR": EventRow(Shape.ERROR, "AG-UI", ending=Ending.ERROR),
    "text-delta": EventRow(Shape.TEXT, _AI_SDK),
    "tool_content": _row("MCP", *_TOOL_PICTURES, witness=_OWN, facts={"has_failed": "is_error"},
        words=(Words("content.*", where=(".type", "text")),)),
    "artifactUpdate": _row(_A2A, Place("artifact_update.artifact.parts.*", _ARTIFACT_PARTS, is_sure=False),
        witness=_OWN, facts={"response_id": "artifact_update.task_id"}),
    "artifact-update": _row(_A2A, Place("artifact.parts.*", _ARTIFACT_PARTS, is_sure=False), witness=_OWN,
        facts={"response_id": "task_id"}),
    "task": _row("A2A, not streamed",
        Place("artifacts.*.parts.*", _ARTIFACT_PARTS, is_sure=False),
        Place("task.artifacts.*.parts.*", _ARTIFACT_PARTS, is_sure=False), witness=_OWN,
        words=(Words("status.message.parts.*"), Words("task.status.message.parts.*")),
        facts={"response_id": ("id", "task.id"), "status": ("status.state", "task.status.state")}),
    "agent_message": _row(_A2A,
        Place("parts.*", _MESSAGE_PARTS, is_sure=False), Place("message.parts.*", _MESSAGE_PARTS, is_sure=False),
        witness=_OWN, words=(Words("parts.*"), Words("message.parts.*"))),
    "status-update": _row(_A2A, words=(Words("status.message.parts.*"),),
        facts={"response_id": "task_id", "status": "status.state"}),
    "statusUpdate": _row(_A2A, words=(Words("status_update.status.message.parts.*"),),
        facts={"response_id": "status_update.task_id", "status": "status_update.status.state"}),
}

# The type of a message without a `type`, by a member that only its service has: (way, value or None for any, type).
SERVICE_MARKS: tuple[tuple[Way, str | None, str], ...] = (
    ("object", "interaction", "interaction"),
    ("data.0.task_type", None, "imageInference"),
    ("candidates", None, "candidates"),
    ("prompt_feedback", None, "candidates"),
    ("usage_metadata", None, "candidates"),
    ("predictions.0.bytes_base64_encoded", None, "predictions"),
    ("predictions.0.rai_filtered_reason", None, "predictions"),
    ("generated_images", None, "generated_images"),
    ("gen_progress", None, "gen_progress"),
    ("discard_indices", None, "discard_indices"),
    ("backend_status", None, "backend_status"),
    ("batch_index", None, "batch_image"),
    ("image.batch_index", None, "batch_image"),
    ("job_stage", None, "job_stage"),
    ("current_image", None, "current_image"),
    ("id_live_preview", None, "live_preview"),
    ("images.0.url", None, "listed_images"),
    ("image.url", None, "listed_images"),
    ("images.0", None, "made_images"),
    ("kind", "artifact-update", "artifact-update"),
    ("kind", "status-update", "status-update"),
    ("kind", "task", "task"),
    ("kind", "message", "agent_message"),
    ("message.parts", None, "agent_message"),
    ("artifact_update", None, "artifactUpdate"),
    ("status_update", None, "statusUpdate"),
    ("task.artifacts", None, "task"),
    ("task.status", None, "task"),
    ("is_error", None, "tool_content"),
    ("content.0.type", "image", "tool_content"),
)

# Types that several services share: type -> (a member that only one has, its value or None for any, the type there).
SHARED_TYPES: Mapping[str, tuple[Way, str | bool | None, str]] = {
    "error": ("will_retry", True, "error.retried"),
    "image": ("object", "image.edit.chunk", "image.edit.chunk"),
    "final": ("samp_ix", None, "novelai.final"),
}

# Server-sent events whose name decides, and not the `type` in their data: name -> (a member that the data has, type).
NAMED_EVENTS: Mapping[str, tuple[str, str]] = {
    "preview": ("data_base64", "comfy.preview"),
    "output":  ("content_type", "comfy.output"),
    "status":  ("status", "comfy.status"),
    "final":   ("samp_ix", "novelai.final"),
}
# fmt: on
