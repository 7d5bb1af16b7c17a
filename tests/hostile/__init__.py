"""Hostile input: nothing from outside is trusted."""
