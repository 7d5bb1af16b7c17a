"""Draws docs/dialects.md from the tables in imgassemble/wire/dialects.py: `python docs/dialects.py`."""

from pathlib import Path

from imgassemble.states import Ending, Witness
from imgassemble.wire.dialects import (
    ITEM_TYPES,
    NAMED_EVENTS,
    OTHER_NAMES,
    PICTURE_NAMES,
    ROWS,
    SHARED_TYPES,
    STATUSES,
    WITHOUT_TYPE,
    EventRow,
    Shape,
)
from imgassemble.wire.event_rows import Layout

TEXT = """\
# Dialects

The meaning of each wire type. This page is made from the tables of `imgassemble/wire/dialects.py`, and a test compares both. Events of other types are counted (`Assembler.skipped`) and ignored.

{types}

## Messages without a type

The type follows from another member. The first row that holds counts.

{without_type}

A type that several services share depends on another member: {shared}. For some server-sent events the name of the event
decides, if its data has a member: {named}. A notification of JSON-RPC has its type in `method` and its message in `params`;
an answer has its message in `result`.

## Messages of their own form

The rows of many services name the places of their pictures. A path such as `candidates.*.content.parts.*` leads to each object
that can hold one: `*` is each member of a list. These services do not number their events or their drafts:

- Drafts count in the order of their arrival, unless they have a number of their own, such as NovelAI's `step_ix`.
- Images that are made side by side have a `track`: `samp_ix`, `batch_index`, or the index of a candidate of Gemini. After the
  result of a track, its next picture begins the next image.
- After the end of an answer, the next draft, or the next image with a number, begins another response.
- A picture is a repeat if its image already has the same image data, apart from metadata.
- If a field can also hold other things, its content counts only if the message calls it an image, or if it begins like one.
- A refusal, such as Gemini's `IMAGE_SAFETY`, fails a response that has no result.
- fal marks no result: the last picture before the end of the stream is it. If the stream was cut, it stays a draft.
- A URL, or the path of a file, gives `item.url`.

These rows are in `imgassemble/wire/services.py`. For example, NovelAI sends
`{{"event_type": "intermediate", "samp_ix": 0, "step_ix": 3, "image": "…"}}`, and this is its row:

```python
"intermediate": _row("NovelAI",
    Place("", {{"b64": ".image", "track": ".samp_ix", "partial_image_index": ".step_ix"}}), is_partial=True),
```

## Members and words of the Responses API

Members of `response.output` that are images: {item_types}. An item without an id is named by its place: `output-0`,
`output-1`, …. Images without names are `image-0`, `image-1`, …; only the end of one begins
the next.

Values of `status`: {statuses}. Any other value is ignored.

## Names of fields

Every field is read in the spelling of each language (`item_id`, `itemId`, `ItemId`, `ItemID`), and under these other names. A
dot stands for a member of a member. If a message has several of them, the documented name counts first, then a path, then
another name; `null` counts as absent.

{names}

A picture can stand in any of these fields, as base64 or as a `data:` URL: {pictures}. The first that is not empty counts;
`partial_image_b64` counts for a partial only. A field with an `http(s)` URL in place of a picture gives `item.url`; it is
fetched only if a driver has `fetch`. A reference of `without_pictures` counts for the state, and gives no frame. If a service repeats the `usage` of a request with each of its images, the first image gets it.

## SVG

OpenRouter streams drawings as `image_generation.text_chunk` (an item that is generating) and then
`image_generation.completed` with the whole drawing. The drawing is kept, and saved as `.svg`. It has no pixels here, and
`decode()` reports that. The page and notebooks show it inside `<img>`, in which a script of it cannot run.

## Adding one

A service is rows in `ROWS`, other names of its fields in `OTHER_NAMES`, and one stream in `fixtures/`. A service that uses
documented names needs the rows only. For example, a service sends

```json
{{"type": "studio.preview", "step": 3, "picture": {{"base64": "…"}}}}
{{"type": "studio.done", "picture": {{"base64": "…"}}}}
```

Then these are its two rows, and the two names that no other service uses:

```text
"studio.preview": EventRow(Shape.IMAGE, "Studio", is_partial=True),
"studio.done":    EventRow(Shape.IMAGE, "Studio", witness=Witness.OWN),

"partial_image_index": (…, "step"),
"b64_json":            (…, ("picture", "base64")),
```

Add the stream and its expected result to `fixtures/make.py`, and run the tests. If a service needs an `if` in the assembler,
the table is wrong.
"""


def main() -> None:
    Path(__file__).with_suffix(".md").write_text(page())


def page() -> str:
    """Return the whole page."""
    names: list[tuple[str, ...]] = [("field", "other names")]
    names += [(f"`{name}`", ", ".join(f"`{_dotted(each)}`" for each in others)) for name, others in OTHER_NAMES.items()]
    types: list[tuple[str, ...]] = [("type", "sent by", "its images", "meaning")]
    types += [(f"`{kind}`", row.sender, _places(row), _meaning(row)) for kind, row in ROWS.items()]
    return TEXT.format(
        types=_table(types),
        without_type=_table(
            [
                ("member", "type"),
                *((f"`{way}`{f' = `{value}`' if value else ''}", f"`{kind}`") for way, value, kind in WITHOUT_TYPE),
            ]
        ),
        shared=", ".join(f"`{name}` with {_mark(*mark)}" for name, mark in SHARED_TYPES.items()),
        named=", ".join(f"`{name}` with {_mark(member, None, kind)}" for name, (member, kind) in NAMED_EVENTS.items()),
        item_types=", ".join(f"`{kind}`" for kind in sorted(ITEM_TYPES)),
        statuses=", ".join(f"`{word}` {state.name}" for word, state in STATUSES.items()),
        names=_table(names),
        pictures=", ".join(f"`{name}`" for name in PICTURE_NAMES),
    )


def _places(row: EventRow) -> str:
    if row.layout is None:
        return row.shape.value
    places = (f"`{place.at}`" if place.at else "the message itself" for place in row.layout.places)
    return ", ".join(dict.fromkeys(places)) or "none"


def _mark(way: str, value: object, kind: str) -> str:
    return f"`{way}`{f' = `{value}`' if value else ''} is `{kind}`"


def _meaning(row: EventRow) -> str:
    said = [
        row.is_partial and "a partial",
        row.word and f"`{row.word}`",
        row.witness and f"how the item ended, as {WITNESSES[row.witness]}",
        row.ending and f"the response {ENDINGS[row.ending]}",
        row.heeds_status and "the response's `status`",
        row.shape is Shape.ITEM and not row.witness and "`generating`, if its `status` is that",
        row.shape is Shape.RESPONSE and not row.witness and "the response's id",
        *(_meaning_of_layout(row.layout) if row.layout else ()),
    ]
    return "; ".join(each for each in said if each)


def _meaning_of_layout(layout: Layout) -> list[str]:
    """Return the meaning that a layout adds to a row."""
    said = {
        "a draft is a partial": any(place.is_draft or "is_draft" in place.fields for place in layout.places),
        "the last one before the end of the stream is the result": layout.is_last_result,
        "only of an item that is known": layout.is_of_known,
        "the item, also without a picture": any(place.is_item for place in layout.places) and not layout.is_of_known,
        "the response's id": "response_id" in layout.facts,
        "the response's status": "status" in layout.facts,
        "the answer in words": bool(layout.words),
        "an error": "error" in layout.facts or "has_failed" in layout.facts,
    }
    return [words for words, holds in said.items() if holds]


WITNESSES = {Witness.OWN: "the item's own event", Witness.DONE: "the done item", Witness.SNAPSHOT: "the snapshot"}
ENDINGS = {
    Ending.COMPLETED: "is completed",
    Ending.INCOMPLETE: "is incomplete",
    Ending.FAILED: "failed",
    Ending.ERROR: "failed",
    Ending.REFUSED: "failed, if it has no result",
}


def _dotted(path: str | tuple[str | int, ...]) -> str:
    return path if isinstance(path, str) else ".".join(map(str, path))


def _table(rows: list[tuple[str, ...]]) -> str:
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


if __name__ == "__main__":
    main()
