from openai import OpenAI

from imgassemble import FinalReady, FrameAdded, Refresher, assemble


def decode(update):
    match update:
        case FrameAdded(frame=frame) | FinalReady(frame=frame):
            return frame.thumbnail((512, 512))


def show(update, image):  # may be slow
    if image:
        image.save("newest.png")


stream = OpenAI().responses.create(
    model="gpt-5",
    input="An otter on a lake at dusk",
    tools=[{"type": "image_generation", "partial_images": 2}],
    stream=True,
)
with Refresher(show, prepare=decode, min_interval_s=0.1) as refresher:
    result = assemble(stream, on_update=refresher)
result.raise_for_outcome()
result.final.save(f"otter{result.final.suffix}")
