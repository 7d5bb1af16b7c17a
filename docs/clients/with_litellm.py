import litellm

from imgassemble import FinalReady, FrameAdded, assemble


def show(update):
    match update:
        case FrameAdded(is_latest=True, frame=frame) | FinalReady(frame=frame):
            print(frame)


stream = litellm.responses(
    model="openai/gpt-5",
    input="An otter on a lake at dusk",
    tools=[{"type": "image_generation", "partial_images": 2}],
    stream=True,
)
result = assemble(stream, on_update=show)
print(result.require_final().save("otter"))
