import asyncio

from openai import AsyncOpenAI

from imgassemble import aassemble
from imgassemble.screens import LoopScreen


def open_stream():
    return AsyncOpenAI().responses.create(
        model="gpt-5",
        input="An otter on a lake at dusk",
        tools=[{"type": "image_generation", "partial_images": 2}],
        stream=True,
    )


async def show(shown):
    caption, image = shown.tile.caption, shown.image  # a Pillow image
    print(caption)
    await asyncio.to_thread(image.save, f"{shown.tile.kind}.png")


async def main():
    async with LoopScreen(show, count_seconds=lambda seconds: print(f"{seconds:.0f} s")) as screen:
        result = await aassemble(open_stream, on_update=screen)
    result.require_final().save("otter")


asyncio.run(main())
