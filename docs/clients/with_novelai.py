import os

import httpx

from imgassemble import FinalReady, FrameAdded, assemble

HOST = os.environ.get("NOVELAI_BASE_URL", "https://image.novelai.net")
KEY = {"Authorization": f"Bearer {os.environ['NOVELAI_API_KEY']}"}
REQUEST = {
    "model": "nai-diffusion-4-5-full",
    "action": "generate",
    "input": "An otter on a lake at dusk",
    "parameters": {"width": 832, "height": 1216, "steps": 28, "n_samples": 1, "stream": "sse"},
}


def show(update):
    match update:
        case FrameAdded(is_latest=True, frame=frame) | FinalReady(frame=frame):
            print(frame)


with httpx.stream("POST", f"{HOST}/ai/generate-image-stream", json=REQUEST, headers=KEY, timeout=300) as response:
    response.raise_for_status()
    result = assemble(response.iter_bytes(), on_update=show)
print(result.require_final().save("otter"))
