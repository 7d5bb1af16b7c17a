from openai import OpenAI

from imgassemble import assemble
from imgassemble.screens import TerminalScreen

stream = OpenAI().responses.create(
    model="gpt-5",
    input="An otter on a lake at dusk",
    tools=[{"type": "image_generation", "partial_images": 2}],
    stream=True,
)
with TerminalScreen() as screen:
    result = assemble(stream, on_update=screen)
result.raise_for_outcome()
result.final.save(f"otter{result.final.suffix}")
