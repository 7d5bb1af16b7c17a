"""A picture that comes from no service: bytes, or a Pillow image, with the item that it belongs to.

Must not know: items, states, the source of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from .base64_json import Decoded
from .pixels import encode_picture

if TYPE_CHECKING:
    from PIL.Image import Image

_GREATEST_INDEX = 2**53
_LONGEST_NAME = 4_096  # characters, as of an item id of a service


@dataclass(frozen=True, slots=True, init=False)
class Picture:
    """A picture from elsewhere, as an event: `Assembler.feed` takes it, and every stream can contain it.

    item_id: the name of the image, at most 4,096 characters; pictures with the same name belong together.
    data: the bytes of a file (PNG, JPEG, WebP, GIF, AVIF, SVG), or a Pillow image, which is encoded as PNG at once, so
        that you can go on to draw on it.
    index: the place of a partial among the previews of its image, a number from 0 to 2**53; None: after the last one.
        A result has none.
    is_final: True for the result of the image, False for a partial.

    Raises UsageError for a wrong argument.

        assembler.feed(Picture("otter", image, index=step))
        assembler.feed(Picture("otter", image, is_final=True))
    """

    item_id: str
    """The name of the image."""
    data: bytes = field(repr=False)
    """The bytes of the picture."""
    index: float | None = None
    """The place of a partial, a number from 0 to 2**53; None for a result, and for "after the last one"."""
    is_final: bool = False
    """True for a result."""

    def __init__(
        self,
        item_id: str,
        data: bytes | bytearray | memoryview | Image,
        index: float | None = None,
        is_final: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        if not (isinstance(item_id, str) and item_id):
            raise UsageError(f"the item_id of a picture is a name, not {item_id!r:.80}")
        if len(item_id) > _LONGEST_NAME:
            raise UsageError(f"the item_id of a picture has {len(item_id):,} characters, more than {_LONGEST_NAME:,}")
        is_number = isinstance(index, (int, float)) and not isinstance(index, bool)
        if index is not None and not (is_number and 0 <= index <= _GREATEST_INDEX):
            raise UsageError(f"the index of a picture is a number from 0 to 2**53, not {index!r:.80}")
        values = {"item_id": item_id, "data": _bytes_of(data), "index": None if is_final else index}
        for name, value in {**values, "is_final": bool(is_final)}.items():
            object.__setattr__(self, name, value)

    @property
    def type(self) -> str:
        """The type of the event: "picture" or "picture.final"."""
        return "picture.final" if self.is_final else "picture"

    @property
    def b64(self) -> Decoded:
        """The bytes in the form in which the fields of events hold a picture."""
        return Decoded(self.data)


def _bytes_of(data: Any) -> bytes:
    if isinstance(data, bytes):
        return data
    if isinstance(data, (bytearray, memoryview)):
        return bytes(data)
    if hasattr(data, "has_transparency_data"):  # a Pillow image; the check must not import Pillow
        try:
            return encode_picture(data, "PNG")
        except (OSError, ValueError, SystemError) as cause:  # an old Pillow raises SystemError for an empty image
            raise UsageError(f"the Pillow image cannot be encoded as PNG: {cause}") from cause
    raise UsageError(f"a picture is bytes or a Pillow image, not {type(data).__name__}")
