"""Write the objects of one item: its frames, its refused pictures, and item.json.

item.json is created first, which claims the folder. Each later version replaces the one before, and names only objects
that the store has: a frame is written before item.json names it, and removed or replaced after item.json has lost it.
Must not know: updates, the assembler, other items.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from errno import EEXIST, ESTALE
from hashlib import sha256
from itertools import count
from pathlib import Path

from ..assembly.items import Item
from ..errors import SinkError, quoted
from ..frames.base64_json import dump_json
from ..frames.frame import Frame
from .conditional_objects import ConditionalObjects
from .file_names import FACTS_NAME, MAX_FACTS_BYTES, MAX_FRAME_BYTES, frame_file_name, is_sink_file
from .folder_names import numbered_path
from .item_facts import ItemFacts
from .item_folder import Existing, FolderPhase, KeepFiles
from .item_json import Facts, described_frames, parse_facts

_TAKING_OVER = ("replace", "continue")
_JSON = "application/json"
_UNKNOWN = "application/octet-stream"  # a browser must not show a picture that was refused


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectOptions:
    """The options that all folders of an ObjectSink share; those with the names of its options are these.

    prefix: ends with "/", or is empty.
    run: a random name of this run. It is in each item.json, so that two runs never write the same one.
    """

    prefix: str
    existing: Existing
    keep: KeepFiles
    facts: Facts | None
    run: str


class ObjectFolder:
    """The objects of one item under PREFIX/NAME/.

    earlier: the folder on disk with a copy of an earlier run's files, which this run continues; None if there is none.
    """

    def __init__(
        self, objects: ConditionalObjects, name: str, options: ObjectOptions, earlier: Path | None = None
    ) -> None:
        self._objects, self._name, self._options = objects, name, options
        self._base = Path(name)
        self.phase: FolderPhase = FolderPhase.UNTOUCHED
        self.error: SinkError | None = None  # the first; nothing more is written then
        self.keys: tuple[str, ...] = ()
        """The keys of the objects that exist now."""
        self._facts = ItemFacts(options.facts)
        self._described: dict[str, str] = {}  # the pictures in item.json as it is stored, with their digests
        self._text_digest = ""  # of item.json as this run wrote it
        self._types: dict[str, str] = {}  # the media types of frames, by file name
        self._lost: SinkError | None = None  # for a picture that cannot be restored; raised by `write_facts`
        self._outdated: dict[str, None] = {}  # the names of objects to remove, once item.json does not name them
        if earlier is not None:
            self._facts.adopt(earlier)
            self._described = self._facts.pictures

    def write_frame(self, frame: Frame, item: Item, received_at: datetime) -> None:
        """Write a frame, unless it exists already. Raises SinkError."""
        name = frame_file_name(frame)
        self._facts.not_repeated.discard(name)
        if self._facts.holds(frame):
            return
        outdated = self._facts.outdated_by(frame, keeps_one_partial=self._options.keep == "latest")
        if self.phase is FolderPhase.SHARED:
            self._leave_out(outdated)
        self._types[name] = frame.mime_type
        self._write(name, frame.data, frame.sha256, frame.mime_type, item)
        self._leave_out(outdated)
        self._facts.add_frame(frame, received_at)
        self._note_keys()

    def write_rejected(self, data: bytes, item: Item) -> int:
        """Write a refused picture; return its size in bytes, 0 if it exists already or the item has too many.

        Raises SinkError.
        """
        digest = sha256(data).hexdigest()
        if (name := self._facts.name_for_rejected(digest, data)) is None:
            return 0
        self._write(name, data, digest, _UNKNOWN, item)
        self._facts.add_rejected(name, data)
        self._note_keys()
        return len(data)

    def write_facts(self, item: Item) -> None:
        """Write item.json, unless it has the same text already; then remove outdated objects. Raises SinkError.

        Nothing is written in the folder of another run.
        """
        has_result = item.final is not None and item.final.is_final
        if self._facts.has_result and not has_result:  # it was withdrawn
            self._leave_out(self._facts.results)
        is_written = self.phase is not FolderPhase.UNTOUCHED or not self._is_as_before(item)
        if is_written and self._claim({}, item):
            self._put_facts(item)
            self._remove_outdated()
        self._note_keys()
        if self._lost:
            error, self._lost = self._lost, None
            raise error

    # ---- the place of the objects

    def _key(self, name: str) -> str:
        return f"{self._options.prefix}{self._name}/{name}"

    def _write(self, name: str, data: bytes, digest: str, content_type: str, item: Item) -> None:
        if not self._claim({name: digest}, item):
            return
        if self._described.get(name, digest) != digest:  # item.json must not name other bytes than these
            self._facts.forget(name)
            self._put_facts(item)
        try:
            self._objects.put(self._key(name), data, content_type)
        except SinkError as error:
            if error.errno != EEXIST or self._options.existing not in _TAKING_OVER:
                raise
            self._text_digest = ""
            self._put_facts(item)  # fails if a later run has the folder; else the run that had it before still writes
            self._objects.adopt(self._key(name))
            self._objects.put(self._key(name), data, content_type)
        self._outdated.pop(name, None)

    def _claim(self, added: dict[str, str], item: Item) -> bool:
        """Make sure that this run has a folder. Return False if all objects are in the folder of another run.

        added: the names and digests of the objects that follow. Raises SinkError.
        """
        if self.phase is FolderPhase.DESCRIBED:
            return True
        files = self._facts.pictures | added
        if self._options.existing != "beside":
            self._take_over(item)
            return True
        shared = self._name if self.phase is FolderPhase.SHARED else None
        if shared is not None and self._is_held(files):
            return False
        for number in count(1):
            self._name = numbered_path(self._base, number).name
            if self._create(item):
                self._restore(item, shared)
                return True
            if self._is_held(files):
                self.phase = FolderPhase.SHARED
                return False
        raise AssertionError("the numbers do not end")

    def _create(self, item: Item) -> bool:
        """Create item.json without pictures. Return False if it is there."""
        is_new = self._objects.create(self._key(FACTS_NAME), self._text_of(item, ItemFacts(self._options.facts)), _JSON)
        if is_new:
            self.phase, self._described, self._text_digest = FolderPhase.DESCRIBED, {}, ""
        return is_new

    def _take_over(self, item: Item) -> None:
        """Claim the first folder; replace the item.json of an earlier run, unless `existing` refuses that."""
        if self._create_first(item):
            return
        key = self._key(FACTS_NAME)
        if self._options.existing == "refuse":
            remedy = 'choose another prefix, or pass existing="replace"'
            sentence = f"{quoted(key)} is in the way: it is of another run; {remedy}"
            raise SinkError(sentence, path=key, errno=EEXIST)
        is_replaced = self._options.existing == "replace"
        if is_replaced:
            self._objects.adopt(key)
        self._put_facts(item)
        self.phase = FolderPhase.DESCRIBED
        own = f"{self._options.prefix}{self._name}/"
        unnamed = [name for each in self._objects.keys(own) if is_sink_file(name := each.removeprefix(own))]
        unnamed = [name for name in unnamed if name not in (FACTS_NAME, *self._described)]
        if is_replaced:
            self._outdated |= dict.fromkeys(unnamed)
            self._remove_outdated()  # they could look like objects of this run
        for name in [] if is_replaced else unnamed:  # the earlier run was killed before it could name them
            self._objects.adopt(self._key(name))

    def _create_first(self, item: Item) -> bool:
        is_continued = self._options.existing == "continue" and bool(self._facts.earlier)
        return not is_continued and self._create(item)

    def _is_held(self, files: dict[str, str]) -> bool:
        """Return whether the item.json of another run names all `files` with the same bytes."""
        found = self._objects.read(self._key(FACTS_NAME), MAX_FACTS_BYTES)
        return found is not None and files.items() <= _pictures_in(found.data).items()

    def _restore(self, item: Item, shared: str | None) -> None:
        """Write the pictures again that were in a folder that was shared: from memory, or from that folder."""
        held = {frame_file_name(frame): frame for frame in (*item.partials, item.final) if frame is not None}
        for name, digest in self._facts.pictures.items():
            try:
                data = held[name].data if name in held and held[name].sha256 == digest else None
                self._objects.put(
                    self._key(name), data or self._read_shared(shared, name, digest), self._types.get(name, _UNKNOWN)
                )
            except SinkError as error:
                if error.errno not in (EEXIST, ESTALE):
                    raise
                self._lost = self._lost or error
                self._facts.forget(name)

    def _read_shared(self, shared: str | None, name: str, digest: str) -> bytes:
        key = f"{self._options.prefix}{shared}/{name}"
        found = self._objects.read(key, MAX_FRAME_BYTES)
        if found is None or sha256(found.data).hexdigest() != digest:
            sentence = f"{quoted(key)} was removed by another program; use a prefix of your own"
            raise SinkError(sentence, path=key, errno=ESTALE)
        return found.data

    # ---- item.json

    def _text_of(self, item: Item, facts: ItemFacts) -> bytes:
        return dump_json({**facts.as_dict(item), "run": self._options.run}) + b"\n"

    def _put_facts(self, item: Item) -> None:
        text = self._text_of(item, self._facts)
        digest = sha256(text).hexdigest()
        if digest != self._text_digest:
            self._objects.put(self._key(FACTS_NAME), text, _JSON)
            self._text_digest, self._described = digest, self._facts.pictures

    def _is_as_before(self, item: Item) -> bool:
        """Return whether the item.json of the earlier run says the same."""
        earlier = {name: value for name, value in self._facts.earlier.items() if name != "run"}
        return bool(earlier) and earlier == json.loads(json.dumps(self._facts.as_dict(item)))

    def _leave_out(self, names: list[str]) -> None:
        """Leave files out of item.json. Their objects are removed after it is written."""
        for name in names:
            if self._facts.frames.pop(name, None) and self.phase is not FolderPhase.SHARED:
                self._outdated[name] = None

    def _remove_outdated(self) -> None:
        while self._outdated:
            name = next(iter(self._outdated))
            self._objects.delete([self._key(name)])
            del self._outdated[name]

    def _note_keys(self) -> None:
        has_facts = self._facts.earlier or self.phase is not FolderPhase.UNTOUCHED
        self.keys = tuple(map(self._key, [*self._facts.pictures, *([FACTS_NAME] if has_facts else [])]))


def _pictures_in(text: bytes) -> dict[str, str]:
    """Return the pictures that an item.json names, with their digests."""
    facts = parse_facts(text)
    rejected = facts.get("rejected")
    named = [*described_frames(facts).values(), *(rejected if isinstance(rejected, list) else ())]
    pairs = [(each.get("file"), each.get("sha256")) for each in named if isinstance(each, dict)]
    return {name: digest for name, digest in pairs if isinstance(name, str) and isinstance(digest, str)}
