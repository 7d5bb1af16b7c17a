"""Tests of the live page, the gallery and its back ends."""
