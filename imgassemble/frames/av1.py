"""Reads the size of the pixels from AV1 data, before a decoder allocates memory for them.

Must not know: the file that holds the data. Source: AV1 Bitstream & Decoding Process Specification, 5.3 and 5.5.
"""

from __future__ import annotations

from collections.abc import Iterator

from .binary import HeaderError, Size

_SEQUENCE_HEADER = 1
_MAX_UNITS = 10_000  # a picture has three or so
_LONGEST_HEADER = 2_000  # bytes: 32 operating points with all their fields have some 500


def av1_sizes(data: bytes) -> Iterator[Size]:
    """Yield the largest (width, height) in pixels that each sequence header in `data` allows."""
    at = 0
    for _ in range(_MAX_UNITS):
        if at >= len(data):
            return
        kind, has_extension, has_size = data[at] >> 3 & 15, data[at] >> 2 & 1, data[at] >> 1 & 1
        at += 1 + has_extension
        length, at = _leb128(data, at) if has_size else (len(data) - at, at)
        if kind == _SEQUENCE_HEADER:
            yield _sequence_size(_Bits(data[at : min(at + length, at + _LONGEST_HEADER)]))
        at += length
    raise HeaderError("has too many parts to be a picture")


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at `at`, and the place after it."""
    value = 0
    for count in range(8):
        byte = data[at + count]
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            return value, at + count + 1
    raise HeaderError("is a damaged AVIF")


class _Bits:
    """Reads numbers of some bits, the highest bit first. Beyond the end there are zeros."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def read(self, count: int) -> int:
        """Return the next `count` bits as a number."""
        start, self._at = self._at, self._at + count
        covering = self._data[start // 8 : (self._at + 7) // 8].ljust((self._at + 7) // 8 - start // 8, b"\0")
        return int.from_bytes(covering, "big") >> -self._at % 8 & (1 << count) - 1

    def skip_uvlc(self) -> None:
        """Skip a number of variable length."""
        zeros = 0
        while zeros < 32 and not self.read(1):
            zeros += 1
        self.read(zeros if zeros < 32 else 0)


def _sequence_size(bits: _Bits) -> Size:
    bits.read(3 + 1)  # the profile, and whether it is a still picture
    if bits.read(1):  # a short header for still pictures
        bits.read(5)
    else:
        _skip_operating_points(bits, *_skip_timing(bits))
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    return bits.read(width_bits) + 1, bits.read(height_bits) + 1


def _skip_timing(bits: _Bits) -> tuple[bool, int]:
    """Skip the timing, and return whether there is a decoder model, and the bits of its delays."""
    if not bits.read(1):
        return False, 0
    bits.read(64)
    if bits.read(1):
        bits.skip_uvlc()
    if not bits.read(1):
        return False, 0
    delay_bits = bits.read(5) + 1
    bits.read(32 + 5 + 5)
    return True, delay_bits


def _skip_operating_points(bits: _Bits, has_model: bool, delay_bits: int) -> None:  # noqa: FBT001
    has_display_delay = bits.read(1)
    for _ in range(bits.read(5) + 1):
        bits.read(12)
        if bits.read(5) > 7:
            bits.read(1)
        if has_model and bits.read(1):
            bits.read(2 * delay_bits + 1)
        if has_display_delay and bits.read(1):
            bits.read(4)
