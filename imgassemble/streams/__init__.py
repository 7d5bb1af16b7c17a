"""Streams from end to end: bytes become events, events are fed to an assembler, a cut stream goes on."""
