"""The findings of fuzzing, as tests: each input broke a law once. By target, with a description."""

from __future__ import annotations

from struct import pack

from hostile.pictures import gif, gif_frame

_EMPTY_CONTROL = gif(b"!\xf9\0", b"!\0\0", b"!\xf9\x02\0\0\x02\x03\x84_\0\0", gif_frame())
_ONE_BLOCK = gif(b"!\xff\x0bNETSCAPE2.0\0", b"!\xf9\x41" + bytes(65) + b"\0", gif_frame())

FOUND: dict[str, dict[str, bytes]] = {
    "sse": {},
    "feed": {},
    "header": {
        # Pillow reads on behind it in the wrong place, and took the picture's bytes for its size.
        "an extension of a GIF without data": b"\0" + _EMPTY_CONTROL,
        "an application's extension of one block": b"\0" + _ONE_BLOCK,
        "a first picture beyond its canvas": b"\0" + gif(gif_frame(9, 9, x=5, y=6)),
        "a size that is another in each of two chunks": b"\1\x89PNG\r\n\x1a\n"
        + b"".join(pack(">I", 13) + b"IHDR" + pack(">IIBBBBB", at, 1, 8, 0, 0, 0, 0) + bytes(4) for at in (1, 2))
        + pack(">I", 2) + b"IDATxx" + bytes(8) + b"IEND" + bytes(4),
    },
}  # fmt: skip
