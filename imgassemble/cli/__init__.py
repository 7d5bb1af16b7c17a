"""The command `imgassemble`: the parser (main), and one module for each command.

A command's module has its name and holds OPTIONS, its arguments, and a function of the same name that runs it.
"""
