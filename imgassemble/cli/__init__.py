"""The command `imgassemble`: the parser (main), and one module for each group of commands."""
