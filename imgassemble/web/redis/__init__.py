"""A gallery on Redis or Valkey: producers and viewers in any number of processes.

Redis holds facts and frames, never events, prompts or base64. The keys are in `keys`, each write is a script of
`scripts`, and `entries` has the form of the facts. A producer writes through `outbox`; a process with viewers reads
through `reader` and `frame_store`.
Must not know: HTTP, how a stream of events is read.
"""
