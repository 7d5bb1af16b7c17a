from openai import OpenAI

from imgassemble import assemble
from imgassemble.screens import TerminalScreen


def open_stream():
    return OpenAI().responses.create(
        model="gpt-5",
        input="An otter on a lake at dusk",
        tools=[{"type": "image_generation", "partial_images": 2}],
        stream=True,
    )


with TerminalScreen() as screen:
    result = assemble(open_stream, on_update=screen)
result.require_final().save("otter")
