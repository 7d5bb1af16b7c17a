"""Turns the bytes of files and bodies of every kind into events."""
