"""Makes a sheet of three simulated pictures with their previews, to look at: `python docs/contact_sheet.py sheet.png`."""

import sys

from PIL import Image

from imgassemble.simulator import draw, sharpen

PROMPTS = ("an otter on a lake at dusk", "a mountain valley", "a lighthouse at night")
SIZE = (300, 200)  # pixels of one picture
GAP = 10


def main(path: str) -> None:
    sheet = Image.new("RGB", (4 * (SIZE[0] + GAP) - GAP, len(PROMPTS) * (SIZE[1] + GAP) - GAP), "white")
    for row, prompt in enumerate(PROMPTS):
        final = draw(prompt, size=SIZE)
        for column, image in enumerate([*sharpen(final, 3), final]):
            sheet.paste(image, (column * (SIZE[0] + GAP), row * (SIZE[1] + GAP)))
    sheet.save(path)


if __name__ == "__main__":
    main(sys.argv[1])
