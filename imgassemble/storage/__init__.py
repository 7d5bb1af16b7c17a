"""Frames on disk: written by a DirectorySink (directory), read back as events (saved)."""
