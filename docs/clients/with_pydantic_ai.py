import asyncio

from pydantic_ai import Agent, ImageGenerationTool
from pydantic_ai.capabilities import NativeTool

from imgassemble import FinalReady, FrameAdded, aassemble


def show(update):
    match update:
        case FrameAdded(is_latest=True, frame=frame) | FinalReady(frame=frame):
            print(frame)


async def main():
    tool = ImageGenerationTool(provider_settings={"openai": {"partial_images": 2}})
    agent = Agent("openai-responses:gpt-5", capabilities=[NativeTool(tool)])
    async with agent.run_stream_events("An otter on a lake at dusk") as events:
        result = await aassemble(events, on_update=show)
    print(result.require_final().save("otter"))


asyncio.run(main())
