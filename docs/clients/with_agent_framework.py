import asyncio

from agent_framework import Agent
from agent_framework.openai import OpenAIChatClient

from imgassemble import FinalReady, FrameAdded, aassemble


def show(update):
    match update:
        case FrameAdded(is_latest=True, frame=frame) | FinalReady(frame=frame):
            print(frame)


async def main():
    client = OpenAIChatClient(model="gpt-5")
    agent = Agent(client=client, tools=[client.get_image_generation_tool(partial_images=2)])
    result = await aassemble(agent.run("An otter on a lake at dusk", stream=True), on_update=show)
    print(result.require_final().save("otter"))


asyncio.run(main())
