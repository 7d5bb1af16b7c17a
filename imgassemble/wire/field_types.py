"""The types of fields: each has the function that reads its value.

Must not know: which fields a message has, pydantic.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from .values import (
    read_base64,
    read_count,
    read_identifier,
    read_mapping,
    read_name,
    read_number,
    read_plain,
    read_text,
    read_words,
)


class ReadBy:
    """Marks the type of a field with the function that reads its value."""

    def __init__(self, read: Callable[[Any], Any]) -> None:
        self.read = read

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, str]:
        """Return a schema that takes every value: the typed models get values that were read here."""
        return {"type": "any"}


Number = Annotated[float | None, ReadBy(read_number)]
Text = Annotated[str | None, ReadBy(read_words)]
WholeText = Annotated[str | None, ReadBy(read_text)]  # it can hold pictures
Count = Annotated[float | None, ReadBy(read_count)]  # also as text
Name = Annotated[str | None, ReadBy(read_name)]  # also as a number
Identifier = Annotated[str | None, ReadBy(read_identifier)]
Base64 = Annotated[str | None, ReadBy(read_base64)]  # an assembler gets `Decoded`, too
PlainObject = Annotated[Mapping[str, Any] | None, ReadBy(read_mapping)]
Anything = Annotated[Any, ReadBy(read_plain)]
Flag = Annotated[bool, ReadBy(lambda value: value is True)]
