from google import genai

from imgassemble import FinalReady, FrameAdded, assemble


def show(update):
    match update:
        case FrameAdded(is_latest=True, frame=frame) | FinalReady(frame=frame):
            print(frame)


with genai.Client() as client:
    stream = client.models.generate_content_stream(
        model="gemini-3-pro-image",
        contents="An otter on a lake at dusk",
    )
    result = assemble(stream, on_update=show)
print(result.require_final().save("otter"))
