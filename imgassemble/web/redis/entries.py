"""The form of the facts in Redis: a change as one JSON text, and back, with checks of all that a viewer receives.

What Redis holds is untrusted: another program may have written it. So kinds and names of facts are on a list, texts are
cleaned, and the addresses of frames are made here.
Must not know: connections, keys, viewers.
"""
