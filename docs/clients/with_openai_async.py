import asyncio

from openai import AsyncOpenAI

from imgassemble import FinalReady, FrameAdded, aassemble


def show(update):
    match update:
        case FrameAdded(is_latest=True, frame=frame) | FinalReady(frame=frame):
            print(frame)


async def main():
    stream = await AsyncOpenAI().images.generate(
        model="gpt-image-1", prompt="An otter on a lake at dusk", partial_images=2, stream=True
    )
    result = await aassemble(stream, on_update=show)
    print(result.require_final().save("otter"))


asyncio.run(main())
