"""Tests of the gallery on Redis, with a real server."""
