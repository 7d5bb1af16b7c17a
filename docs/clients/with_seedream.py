import os

import httpx

from imgassemble import FinalReady, FrameAdded, assemble

HOST = os.environ.get("ARK_BASE_URL", "https://ark.cn-beijing.volces.com/api/v3")
KEY = {"Authorization": f"Bearer {os.environ['ARK_API_KEY']}"}
REQUEST = {
    "model": "doubao-seedream-5-0-260128",
    "prompt": "An otter on a lake at dusk",
    "response_format": "b64_json",
    "stream": True,
}


def show(update):
    match update:
        case FrameAdded(is_latest=True, frame=frame) | FinalReady(frame=frame):
            print(frame)


with httpx.stream("POST", f"{HOST}/images/generations", json=REQUEST, headers=KEY, timeout=300) as response:
    response.raise_for_status()
    result = assemble(response.iter_bytes(), on_update=show)
print(result.require_final().save("otter"))
