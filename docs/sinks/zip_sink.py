"""A sink of your own: keep every picture of a stream in one ZIP file."""

from zipfile import ZipFile

from imgassemble import FinalReady, FrameAdded, assemble, open_events


class ZipSink:
    """Writes each partial and each result to `path`, byte for byte as received."""

    def __init__(self, path):
        self.path = path

    def open(self, assembler):
        self.archive = ZipFile(self.path, "w")

    def __call__(self, update):
        match update:
            case FrameAdded(item_id=item_id, frame=frame):
                self.archive.writestr(f"{item_id}/partial-{frame.index}{frame.suffix}", frame.data)
            case FinalReady(item_id=item_id, frame=frame, is_provisional=False):
                self.archive.writestr(f"{item_id}/final{frame.suffix}", frame.data)

    def close(self):
        self.archive.close()


if __name__ == "__main__":
    stream = open_events("fixtures/two-items-interleaved.sse")
    result = assemble(stream, sinks=[ZipSink("pictures.zip")])
    print(*ZipFile("pictures.zip").namelist(), sep="\n")
