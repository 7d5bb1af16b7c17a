"""Draws docs/dialects.md from the tables that decide: `python docs/dialects.py`."""

from pathlib import Path

from imgassemble.states import Ending, Witness
from imgassemble.wire.dialects import (
    ID_IS_OPTIONAL,
    ITEM_TYPES,
    OTHER_NAMES,
    PICTURE_NAMES,
    ROWS,
    STATUSES,
    WITHOUT_TYPE,
    Row,
    Shape,
)

TEXT = """\
# Dialects

What each wire type means. This page is drawn from `imgassemble/dialects.py` by `python docs/dialects.py`; a test draws it
again and compares. Types that are not here are counted (`Assembler.skipped`) and passed over.

{types}

A message without a `type` is told by another field: {without_type}.

Members of `response.output` that are images: {item_types}. Where a member's id is optional ({optional}), an item without
one is `output-0`, `output-1`, … by its place. Images without names are `image-0`, `image-1`, …; only the end of one begins
the next.

`status` says: {statuses}. Any other word says nothing.

## Names of fields

Every field is read in each language's spelling (`item_id`, `itemId`, `ItemId`, `ItemID`), and under these other names, a dot
standing for a member of a member:

{names}

A picture may stand in any of these fields, as base64 or as a `data:` URL; the first that is not empty counts, and the first of
them only for a partial: {pictures}. A field that holds an `http(s)` URL in place of a picture gives `item.url`; nothing is fetched. `usage` that is repeated with
each image of a request is told with the first.

## SVG

OpenRouter streams drawings as `image_generation.text_chunk` (an item that is generating) and then
`image_generation.completed` with the whole drawing; OpenAI sends one as the result of an item. It is kept, and saved as
`.svg`. It has no pixels here: `decode()` raises a FrameDecodeError, and `size` is None if the drawing tells none. The page
and notebooks show it inside of an `<img>` element, where it runs no script and loads nothing.

## Adding one

A service is rows in `ROWS` and names in `OTHER_NAMES`, plus one stream among the fixtures. Say, for a service that sends

```json
{{"type": "studio.preview", "step": 3, "picture": {{"base64": "…"}}}}
{{"type": "studio.done", "picture": {{"base64": "…"}}}}
```

these are two rows and two names:

```text
"studio.preview": Row(who="Studio", shape=Shape.IMAGE, is_partial=True),
"studio.done":    Row(who="Studio", shape=Shape.IMAGE, witness=Witness.OWN),

"partial_image_index": (…, "step"),
"b64_json":            (…, ("picture", "base64")),
```

Then give the stream to `fixtures/makers/` with its expected result, and run the tests. Where a service
needs an `if` in the assembler, the table is wrong.
"""


def main() -> None:
    Path(__file__).with_suffix(".md").write_text(page())


def page() -> str:
    """The whole page."""
    names = [("field", "also read from")]
    names += [(f"`{name}`", ", ".join(f"`{_dotted(each)}`" for each in others)) for name, others in OTHER_NAMES.items()]
    types = [("type", "who sends it", "its images", "what it says")]
    types += [(f"`{kind}`", row.who, row.shape.value, _meaning(row)) for kind, row in ROWS.items()]
    return TEXT.format(
        types=_table(types),
        without_type=", ".join(
            f"`{name}`{f' = `{value}`' if value else ''} is `{kind}`" for name, value, kind in WITHOUT_TYPE
        ),
        item_types=", ".join(f"`{kind}`" for kind in sorted(ITEM_TYPES)),
        optional=", ".join(f"`{kind}`" for kind in sorted(ID_IS_OPTIONAL)),
        statuses=", ".join(f"`{word}` {state.name}" for word, state in STATUSES.items()),
        names=_table(names),
        pictures=", ".join(f"`{name}`" for name in PICTURE_NAMES),
    )


def _meaning(row: Row) -> str:
    said = [
        row.is_partial and "a partial",
        row.word and f"`{row.word}`",
        row.witness and f"how it ended, as {WITNESSES[row.witness]}",
        row.ending and f"the response {ENDINGS[row.ending]}",
        row.heeds_status and "the response's `status`",
        row.shape is Shape.ITEM and not row.witness and "`generating`, where its `status` says so",
        row.shape is Shape.RESPONSE and not row.witness and "the response's id",
    ]
    return "; ".join(each for each in said if each)


WITNESSES = {Witness.OWN: "the item's own word", Witness.DONE: "the done item", Witness.SNAPSHOT: "the snapshot"}
ENDINGS = {
    Ending.COMPLETED: "is completed",
    Ending.INCOMPLETE: "is incomplete",
    Ending.FAILED: "failed",
    Ending.ERROR: "failed",
}


def _dotted(path: str | tuple[str | int, ...]) -> str:
    return path if isinstance(path, str) else ".".join(map(str, path))


def _table(rows: list[tuple[str, ...]]) -> str:
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


if __name__ == "__main__":
    main()
