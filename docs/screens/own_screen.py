from pathlib import Path

from openai import OpenAI

from imgassemble import assemble
from imgassemble.screens import Screen, Shown


class FileScreen(Screen):
    """Keeps the newest picture in a PNG file and its caption beside it, for a program that displays these files."""

    def __init__(self, path: Path) -> None:
        super().__init__(size=(512, 512), min_interval_s=0.2)
        self._path = path

    def show(self, shown: Shown) -> None:
        unfinished = self._path.with_suffix(".part")
        shown.image.save(unfinished, "PNG")  # a Pillow image, at most 512x512
        unfinished.replace(self._path)
        status = "error" if shown.tile.kind.has_failed else "ok"
        self._path.with_suffix(".txt").write_text(f"{status}: {shown.tile.caption}\n")


def open_stream():
    return OpenAI().images.generate(
        model="gpt-image-1", prompt="An otter on a lake at dusk", partial_images=2, stream=True
    )


with FileScreen(Path("newest.png")) as screen:
    result = assemble(open_stream, on_update=screen)
result.require_final().save("otter")
