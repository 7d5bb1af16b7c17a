"""Words the error for a name that is not among the known ones.

Must not know: which names there are.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..arguments import closest
from ..errors import UsageError, quoted


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for a name that is not known; it names the nearest one, and lists them all.

    `kind`: the beginning of the sentence, for example "there is no fault".
    """
    names = list(known)
    near = closest(name, names)
    return UsageError(f"{kind} {quoted(str(name))}{f'{near} There' if near else '; there'} are {', '.join(names)}")
