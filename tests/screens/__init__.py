"""The programs of docs/screens.md, each with its real host."""
