from openai import OpenAI

from imgassemble import FinalReady, FrameAdded, Refresher, StreamEnded, assemble


def open_stream():
    return OpenAI().responses.create(
        model="gpt-5",
        input="An otter on a lake at dusk",
        tools=[{"type": "image_generation", "partial_images": 2}],
        stream=True,
    )


def decode(update):
    match update:
        case FrameAdded(frame=frame) | FinalReady(frame=frame):
            return frame.thumbnail((512, 512))


def show(update, image):  # may be slow
    if image:
        image.save("newest.png")
    if isinstance(update, StreamEnded):
        print(update.error or "done")


with Refresher(show, prepare=decode, min_interval_s=0.1) as refresher:
    result = assemble(open_stream, on_update=refresher)
result.require_final().save("otter")
