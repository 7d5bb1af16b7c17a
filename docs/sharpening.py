"""Makes docs/sharpening.png: the pictures of one stream, side by side.

The stream is simulated, the pictures are those that the assembler handed out: `python docs/sharpening.py`.
"""

from pathlib import Path

from PIL import Image

from imgassemble import FinalReady, FrameAdded, iter_updates
from imgassemble.simulator import ImageCall, base64_text, draw, encode, image_events, responses_stream, sharpen, sse

SIZE = (300, 200)  # pixels of one picture
GAP = 10


def main() -> None:
    final = draw("an otter on a lake at dusk", seed=3, size=SIZE)
    *partials, result = (base64_text(encode(image, "PNG")) for image in [*sharpen(final, 3), final])
    stream = sse(
        responses_stream(image_events(ImageCall(id="ig_1", partials=tuple(partials), result=result, size="300x200")))
    )
    with iter_updates(stream) as updates:
        shown = [update.frame.decode() for update in updates if isinstance(update, (FrameAdded, FinalReady))]
    strip = Image.new("RGBA", (len(shown) * (SIZE[0] + GAP) - GAP, SIZE[1]), (0, 0, 0, 0))
    for number, image in enumerate(shown):
        strip.paste(image, (number * (SIZE[0] + GAP), 0))
    strip.save(Path(__file__).with_suffix(".png"), optimize=True)


if __name__ == "__main__":
    main()
