"""Received pictures: base64 is decoded (base64_json), headers are read (containers), a Frame holds one (frame)."""
