"""Opens and closes a stream of any kind, and ends the wait of its reader."""
