"""Streams from end to end: bytes become events (sources), events are fed (drivers), a cut stream goes on (resume)."""
