import asyncio
import os
from io import BytesIO

import aiohttp
import discord
from openai import AsyncOpenAI

from imgassemble import FinalReady, FrameAdded, Refresher, aassemble

PROMPT = "An otter on a lake at dusk"


async def main():
    async with aiohttp.ClientSession() as session:
        webhook = discord.Webhook.from_url(os.environ["DISCORD_WEBHOOK_URL"], session=session)
        message = await webhook.send(f"{PROMPT} …", wait=True)

        async def show(update):
            if isinstance(update, FrameAdded | FinalReady):
                picture = discord.File(BytesIO(update.frame.data), f"otter{update.frame.suffix}")
                await message.edit(content=PROMPT, attachments=[picture])

        asked = {"model": "gpt-image-1", "prompt": PROMPT, "partial_images": 2, "stream": True}
        async with Refresher(show, min_interval_s=1.2) as refresher:  # the service limits the rate of edits
            await aassemble(await AsyncOpenAI().images.generate(**asked), on_update=refresher)


asyncio.run(main())
