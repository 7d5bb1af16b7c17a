import asyncio
import os
from io import BytesIO

import aiohttp
import discord
from openai import AsyncOpenAI

from imgassemble import FinalReady, FrameAdded, Refresher, StreamEnded, aassemble

PROMPT = "An otter on a lake at dusk"


def open_stream():
    return AsyncOpenAI().images.generate(model="gpt-image-1", prompt=PROMPT, partial_images=2, stream=True)


async def main():
    async with aiohttp.ClientSession() as session:
        webhook = discord.Webhook.from_url(os.environ["DISCORD_WEBHOOK_URL"], session=session)
        message = await webhook.send(f"{PROMPT} …", wait=True)

        async def show(update):
            match update:
                case FrameAdded(frame=frame) | FinalReady(frame=frame, is_provisional=False):
                    picture = discord.File(BytesIO(frame.data), f"otter{frame.suffix}")
                    await message.edit(content=PROMPT, attachments=[picture])
                case StreamEnded(error=error) if error:
                    await message.edit(content=f"{PROMPT}: {error}", attachments=[])

        async with Refresher(show, min_interval_s=1.2) as refresher:  # the service limits the rate of edits
            await aassemble(open_stream, on_update=refresher)


asyncio.run(main())
