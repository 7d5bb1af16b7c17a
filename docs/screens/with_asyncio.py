import asyncio

from openai import AsyncOpenAI

from imgassemble import aassemble
from imgassemble.screens import LoopScreen


async def show(shown):
    caption, image = shown.tile.caption, shown.image  # a Pillow image
    await asyncio.to_thread(image.save, f"{caption.partition(':')[0]}.png")


async def main():
    stream = await AsyncOpenAI().responses.create(
        model="gpt-5",
        input="An otter on a lake at dusk",
        tools=[{"type": "image_generation", "partial_images": 2}],
        stream=True,
    )
    async with LoopScreen(show) as screen:
        result = await aassemble(stream, on_update=screen)
    result.raise_for_outcome()
    result.final.save(f"otter{result.final.suffix}")


asyncio.run(main())
