"""Frames on disk: written by a DirectorySink (directory, item_folder), read back as events (saved).

A watcher reads a folder that is being written (watched). A stream can continue an earlier run (earlier_run).
"""
