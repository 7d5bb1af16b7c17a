"""Fuzzing: the laws that hold for any bytes, and the search for bytes that break them."""
