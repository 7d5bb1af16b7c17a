import os

import requests

from imgassemble import FinalReady, FrameAdded, assemble

URL = os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1") + "/images/generations"
KEY = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
REQUEST = {"model": "gpt-image-1", "prompt": "An otter on a lake at dusk", "partial_images": 2, "stream": True}


def show(update):
    match update:
        case FrameAdded(is_latest=True, frame=frame) | FinalReady(frame=frame):
            print(frame)


with requests.post(URL, json=REQUEST, headers=KEY, stream=True, timeout=300) as response:
    response.raise_for_status()
    result = assemble(response.iter_content(None), on_update=show)
print(result.require_final().save("otter"))
