from openai import OpenAI

from imgassemble import FinalReady, FrameAdded, assemble


def show(update):
    match update:
        case FrameAdded(is_latest=True, frame=frame) | FinalReady(frame=frame):
            print(frame)


stream = OpenAI().responses.create(
    model="gpt-5",
    input="An otter on a lake at dusk",
    tools=[{"type": "image_generation", "partial_images": 2}],
    stream=True,
)
result = assemble(stream, on_update=show)
print(result.require_final().save("otter"))
