"""C2PA manifests are found in every format, in pictures built by hand and in pictures that c2pa-python signed."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from base64 import b64encode
from io import BytesIO
from pathlib import Path
from struct import pack

import pytest
import samples
import signing
from shared import MISSING, RECORDINGS, ROOT

from imgassemble import Limits, assemble
from imgassemble.frames.containers import has_c2pa_manifest, read_header
from imgassemble.limits import Format

FORMATS: tuple[Format, ...] = ("PNG", "JPEG", "WEBP", "GIF", "AVIF", "SVG")
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="5" height="4"><rect width="5" height="4"/></svg>'
PURPOSE = b"\0\0\0\0manifest\0" + bytes(8)


def box(kind: bytes, body: bytes, *, is_long: bool = False) -> bytes:
    head = pack(">I4sQ", 1, kind, len(body) + 16) if is_long else pack(">I4s", len(body) + 8, kind)
    return head + body


def store(kind: bytes = b"c2pa", *, is_long: bool = False) -> bytes:
    description = box(b"jumd", kind + bytes.fromhex("00110010800000aa00389b71") + b"\x03c2pa\0")
    return box(b"jumb", description + bytes(40), is_long=is_long)


def unsigned(form: Format) -> bytes:
    if form == "AVIF" and not samples.has_avif():
        pytest.skip("this Pillow has no AVIF")
    return SVG if form == "SVG" else samples.picture(form)


def with_store(form: Format, body: bytes) -> bytes:
    """Return the picture with `body` in the place of the format's manifest."""
    data = unsigned(form)
    match form:
        case "PNG":
            return data[:33] + samples.png_chunk(b"caBX", body) + data[33:]
        case "JPEG":
            segment = b"JP" + pack(">HI", 1, 1) + body
            return data[:2] + b"\xff\xeb" + pack(">H", len(segment) + 2) + segment + data[2:]
        case "WEBP":
            chunk = b"C2PA" + pack("<I", len(body)) + body + b"\0" * (len(body) & 1)
            return b"RIFF" + pack("<I", len(data) + len(chunk) - 8) + data[8:] + chunk
        case "GIF":
            at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
            extension = b"!\xff\x0bC2PA_GIF\x01\0\0" + bytes([len(body)]) + body + b"\0"
            return data[:at] + extension + data[at:]
        case "AVIF":
            # At the end, so that the places of the pixels stay.
            return data + box(b"uuid", bytes.fromhex("d8fec3d61b0e483c92975828877ec481") + PURPOSE + body)
        case "SVG":
            element = b"<metadata><c2pa:manifest>" + b64encode(body) + b"</c2pa:manifest></metadata>"
            return data.replace(b"<rect", element + b"<rect")


@pytest.mark.parametrize("form", FORMATS)
def test_a_manifest_is_found_in_every_format(form: Format) -> None:
    for body in (store(), store(is_long=True)):
        signed = with_store(form, body)
        assert read_header(signed).format == form
        assert has_c2pa_manifest(signed, form)
    assert not has_c2pa_manifest(unsigned(form), form)


@pytest.mark.parametrize("form", FORMATS)
def test_another_box_in_the_place_of_a_manifest_is_none(form: Format) -> None:
    whole = store()
    for body in (store(b"json"), whole[:30], whole[:31], whole.replace(b"jumb", b"free"), bytes(60), b"x"):
        assert not has_c2pa_manifest(with_store(form, body), form)


def test_a_manifest_in_a_comment_of_a_drawing_is_none() -> None:
    element = b"<c2pa:manifest>" + b64encode(store()) + b"</c2pa:manifest>"
    assert has_c2pa_manifest(SVG.replace(b"<rect", element + b"<rect"), "SVG")
    assert not has_c2pa_manifest(SVG.replace(b"<rect", b"<!--" + element + b"--><rect"), "SVG")


@pytest.mark.parametrize("form", FORMATS)
def test_a_picture_that_is_cut_or_damaged_anywhere_has_a_manifest_or_none(form: Format) -> None:
    signed = with_store(form, store())
    for at in range(0, len(signed), 1 + len(signed) // 400):
        assert has_c2pa_manifest(signed[:at], form) in (True, False)
        damaged = signed[:at] + b"\xff\xff\xff\xff" + signed[at + 4 :]
        assert has_c2pa_manifest(damaged, form) in (True, False)


def hostile_pictures() -> dict[Format, bytes]:
    """Files of about two megabytes with as many false beginnings as fit into them."""
    png, jpeg, webp, gif = (samples.picture(form) for form in ("PNG", "JPEG", "WEBP", "GIF"))
    segment = b"\xff\xeb" + pack(">H", 14) + b"JP" + pack(">HI", 1, 1) + bytes(4)
    chunks = 100_000 * (b"C2PA" + pack("<I", 10) + bytes(10))
    extension = b"!\xff\x0bC2PA_GIF\x01\0\0\x01x\0"
    return {
        "PNG": png[:33] + 90_000 * samples.png_chunk(b"caBX", b"jumbjumd") + png[33:],
        "JPEG": jpeg[:2] + 130_000 * segment + jpeg[2:],
        "WEBP": b"RIFF" + pack("<I", len(webp) + len(chunks) - 8) + webp[8:] + chunks,
        "GIF": gif[:-1] + 120_000 * extension + b";",
        "AVIF": box(b"ftyp", b"avif") + 60_000 * box(b"uuid", bytes.fromhex("d8fec3d61b0e483c92975828877ec481")),
        "SVG": SVG.replace(b"<rect", 100_000 * b"<c2pa:manifest xx>  " + b"<rect"),
    }


def test_hostile_pictures_take_a_bounded_time() -> None:
    for form, data in hostile_pictures().items():
        start = time.process_time()
        assert not has_c2pa_manifest(data, form), form
        assert time.process_time() - start < 2, form
        assert len(data) < Limits().max_frame_bytes


@pytest.mark.parametrize("form", FORMATS)
def test_the_manifests_that_c2pa_writes_are_found(form: Format) -> None:
    signed = signing.signed(unsigned(form), form)
    assert read_header(signed).format == form
    assert has_c2pa_manifest(signed, form)


@pytest.mark.skipif(not RECORDINGS.exists(), reason=MISSING)
def test_the_pictures_of_real_services_are_found_and_their_bytes_are_those_that_were_signed() -> None:
    c2pa = pytest.importorskip("c2pa", reason="the verifier is missing: pip install --group provenance")
    results = [assemble(path) for path in sorted((RECORDINGS / "streams").iterdir())]
    frames = [frame for result in results for item in result.items.values() for frame in (*item.partials, item.final)]
    signed = [frame for frame in frames if frame and has_c2pa_manifest(frame.data, frame.format)]
    assert {frame.format for frame in signed} == {"PNG", "JPEG"}
    for frame in filter(None, frames):
        reader = c2pa.Reader.try_create(frame.mime_type, BytesIO(frame.data))
        assert (reader is not None) == (frame in signed)
        if reader is not None:
            checks = reader.get_validation_results()["activeManifest"]
            assert "assertion.dataHash.match" in {check["code"] for check in checks["success"]}


def test_the_program_of_the_page_tells_a_signed_picture_from_a_changed_one(tmp_path: Path) -> None:
    signed = signing.signed(unsigned("PNG"), "PNG")
    at = signed.rindex(b"IDAT") + 6
    changed = signed[:at] + bytes([signed[at] ^ 1]) + signed[at + 1 :]
    events = [samples.done(f"ig_{at}", each) for at, each in enumerate((signed, changed, unsigned("PNG")))]
    (tmp_path / "otter.sse").write_bytes(samples.sse(events))
    page = (ROOT / "docs" / "provenance.md").read_text()
    shown = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", page, re.DOTALL)
    assert shown
    run = subprocess.run([sys.executable, "-c", shown[1]], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout == shown[2]
