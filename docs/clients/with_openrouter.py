import os

from openrouter import OpenRouter

from imgassemble import FinalReady, FrameAdded, assemble


def show(update):
    match update:
        case FrameAdded(is_latest=True, frame=frame) | FinalReady(frame=frame):
            print(frame)


client = OpenRouter(api_key=os.environ["OPENROUTER_API_KEY"], server_url=os.environ.get("OPENROUTER_BASE_URL"))
with client.images.generate(model="openai/gpt-image-1", prompt="An otter on a lake at dusk", stream=True) as events:
    result = assemble(events, on_update=show)
print(result.require_final().save("otter"))
