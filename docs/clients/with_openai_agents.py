import asyncio

from agents import Agent, ImageGenerationTool, Runner

from imgassemble import FinalReady, FrameAdded, aassemble


def show(update):
    match update:
        case FrameAdded(is_latest=True, frame=frame) | FinalReady(frame=frame):
            print(frame)


async def main():
    tool = ImageGenerationTool({"type": "image_generation", "partial_images": 2})
    agent = Agent(name="Painter", instructions="Draw what you are asked for.", model="gpt-5", tools=[tool])
    run = Runner.run_streamed(agent, "An otter on a lake at dusk")
    result = await aassemble(run.stream_events(), on_update=show)
    print(result.require_final().save("otter"))


asyncio.run(main())
