"""The exit codes of the commands, and their description for the help.

Must not know: which command gives which code.
"""

OK, INCOMPLETE, NO_IMAGE, FAILED, UNREADABLE, STORAGE, USAGE, INTERRUPTED = 0, 3, 4, 5, 6, 7, 2, 130

EXIT_CODES = """\
exit codes (the first that applies):
  7    storage: a file cannot be written, or another file is in its place
  6    nothing could be read, or no received picture could be used
  5    failed: the service reported an error
  4    no image: a refusal, a text answer, another kind of stream
  3    incomplete, or a final that is only the last preview
  0    every image has its final
  2    wrong use
  130  interrupted; everything received so far is kept
"""
