"""Reads the lists of arguments in docstrings, so that the reference shows them with their types.

A list is a paragraph in which each argument begins a line: `name: text`, with further lines indented.
"""

import re
from typing import Any

from griffe import Class, Docstring, Extension, Function

ENTRY = re.compile(r"(?P<names>\w+(?:, \w+)*): ")


class ArgumentLists(Extension):
    """Gives each list of arguments the heading that griffe's Google style expects."""

    def on_class(self, *, cls: Class, **_: Any) -> None:
        """Read the docstring of a class: the arguments of its `__init__`, or its attributes."""
        init = cls.members.get("__init__")
        if isinstance(init, Function):
            _mark(cls.docstring, {each.name for each in init.parameters}, "Parameters")
        _mark(cls.docstring, set(cls.members), "Attributes")

    def on_function(self, *, func: Function, **_: Any) -> None:
        """Read the docstring of a function."""
        _mark(func.docstring, {each.name for each in func.parameters}, "Parameters")


def _mark(docstring: Docstring | None, names: set[str], heading: str) -> None:
    """Put a heading over each paragraph that lists these names."""
    if docstring is None:
        return
    paragraphs = docstring.value.split("\n\n")
    docstring.value = "\n\n".join(
        f"{heading}:\n" + _one_name_each(paragraph) if _lists(paragraph, names) else paragraph
        for paragraph in paragraphs
    )


def _lists(paragraph: str, names: set[str]) -> bool:
    entry = ENTRY.match(paragraph)
    return entry is not None and set(entry["names"].split(", ")) <= names


def _one_name_each(paragraph: str) -> str:
    """Return the list indented; of several names that share an entry, the others have its first sentence."""
    lines = []
    for line in paragraph.splitlines():
        entry = ENTRY.match(line)
        if entry:
            first, *others = entry["names"].split(", ")
            text = line[entry.end() :]
            lines += [f"    {name}: {text.partition('. ')[0].rstrip('.')}." for name in others]
            lines.append(f"    {first}: {text}")
        else:
            lines.append("    " + line)
    return "\n".join(lines)
