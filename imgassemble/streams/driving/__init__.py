"""Runs a stream through an assembler, from the first event to the end."""
