"""The words for people: names of images, previews and states, and the sentences of errors in these words.

Python, JSON and files say "partial" and use ids and the indexes of the wire. People read "image 1" and "preview 1".
Must not know: screens, terminals, how an update is made.
"""

from __future__ import annotations

import re

from ..errors import quoted
from ..frames.frame import Frame
from .updates import Update

DRAFT_CAPTION = "draft: the last preview, because no final picture came"
# The beginnings and the end of error sentences, which a line about one image does not repeat.
_INCOMPLETE, _KEPT, _NO_IMAGE = "the image {} is incomplete: ", "; its previews are kept", "there is no image: "
_NAMED_IMAGE = re.compile("(?:(?:the )?(?:image|item) )?('[^']*')")
_FOR_PROGRAMS = ", see the anomalies of the item"  # people see these as problems
_NAMED_PARTIAL = re.compile(r"\bpartial (\d+) of ")


def name_preview(frame: Frame) -> str:
    """Return the name of a partial for people, who count from 1: "preview 1"."""
    return "preview" if frame.index is None else f"preview {frame.index + 1:g}"


def describe_state(state: str) -> str:
    """Return the name of a state or an outcome without underscores: "in progress"."""
    return state.replace("_", " ")


def reason_of_item(item_id: str, error: Exception | None) -> str:
    """Return why an item has no final, without the parts of the sentence that every item would repeat."""
    reason = str(error or "").removeprefix(_INCOMPLETE.format(quoted(item_id)))
    return reason.partition(_KEPT)[0].removesuffix(_FOR_PROGRAMS)


def reason_of_stream(error: Exception | None) -> str:
    """Return why a stream failed or has no image, without the words of its outcome."""
    return str(error or "").removeprefix(_NO_IMAGE).removesuffix(_FOR_PROGRAMS)


class ImageNumbers:
    """Numbers the images of a stream from 1, in the order of their first updates. Call it with each update."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}  # by the quoted id, as in sentences

    def __call__(self, update: Update) -> None:
        """Number the image of `update`, unless it is known."""
        item_id = getattr(update, "item_id", None)
        if item_id is not None:
            self._numbers.setdefault(quoted(item_id), len(self._numbers) + 1)

    def name(self, item_id: str) -> str:
        """Return "image 1" for the first image."""
        return self._name(quoted(item_id))

    def reword(self, sentence: str) -> str:
        """Return the sentence of an error with the names for people in place of ids and indexes."""
        named = _NAMED_IMAGE.sub(
            lambda found: self._name(found[1]) if found[1] in self._numbers else found[0], sentence
        )
        return _NAMED_PARTIAL.sub(lambda found: f"preview {int(found[1]) + 1} of ", named)

    def _name(self, name: str) -> str:
        return f"image {self._numbers.setdefault(name, len(self._numbers) + 1)}"
