from google import genai

from imgassemble import FinalReady, FrameAdded, assemble


def show(update):
    match update:
        case FrameAdded(is_latest=True, frame=frame) | FinalReady(frame=frame):
            print(frame)


with genai.Client() as client:
    stream = client.interactions.create(
        model="gemini-3-pro-image",
        input="An otter on a lake at dusk",
        stream=True,
    )
    result = assemble(stream, on_update=show)
print(result.require_final().save("otter"))
