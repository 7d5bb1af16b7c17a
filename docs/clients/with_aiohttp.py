import asyncio
import os

import aiohttp

from imgassemble import FinalReady, FrameAdded, aassemble

URL = os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1") + "/images/generations"
KEY = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
REQUEST = {"model": "gpt-image-1", "prompt": "An otter on a lake at dusk", "partial_images": 2, "stream": True}


def show(update):
    match update:
        case FrameAdded(is_latest=True, frame=frame) | FinalReady(frame=frame):
            print(frame)


async def main():
    async with aiohttp.ClientSession(headers=KEY, raise_for_status=True) as session:
        async with session.post(URL, json=REQUEST) as response:
            result = await aassemble(response.content.iter_any(), on_update=show)
    print(result.require_final().save("otter"))


asyncio.run(main())
