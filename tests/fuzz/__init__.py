"""Fuzzing: the laws that hold for any bytes at all, and what looks for the bytes that break them."""
