import os
from concurrent.futures import ThreadPoolExecutor

import httpx

from imgassemble import FinalReady, FrameAdded, assemble
from imgassemble.streams import polled_events

HOST = os.environ.get("A1111_URL", "http://127.0.0.1:7860")  # started with --api
REQUEST = {"prompt": "An otter on a lake at dusk", "steps": 30, "width": 512, "height": 512}


def show(update):
    match update:
        case FrameAdded(is_latest=True, frame=frame) | FinalReady(frame=frame):
            print(frame)


def ask():
    return job.result() if job.done() else httpx.get(f"{HOST}/sdapi/v1/progress").json()


with ThreadPoolExecutor(1) as pool:
    job = pool.submit(lambda: httpx.post(f"{HOST}/sdapi/v1/txt2img", json=REQUEST, timeout=300).json())
    result = assemble(polled_events(ask, interval_s=0.2), on_update=show)
print(result.require_final().save("otter"))
