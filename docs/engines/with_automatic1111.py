import os
from concurrent.futures import ThreadPoolExecutor

import httpx

from imgassemble import DirectorySink, assemble
from imgassemble.streams import polled_events

engine = httpx.Client(base_url=os.environ.get("ENGINE_URL", "http://127.0.0.1:7860"), timeout=600)
request = {"prompt": "An otter on a lake at dusk", "steps": 20}


def ask():
    return job.result() if job.done() else engine.get("/sdapi/v1/progress").json()


with ThreadPoolExecutor() as pool:
    job = pool.submit(lambda: engine.post("/sdapi/v1/txt2img", json=request).json())
    result = assemble(polled_events(ask, interval_s=0.2), sinks=[DirectorySink("pictures")])
result.require_final().save("otter")
