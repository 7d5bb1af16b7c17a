import json
import os

import httpx
from websockets.sync.client import connect

from imgassemble import ItemEnded, iter_updates
from imgassemble.streams import comfyui_events

engine = os.environ.get("ENGINE_URL", "http://127.0.0.1:8188")
workflow = json.loads(os.environ.get("WORKFLOW", "{}"))  # the workflow that ComfyUI exports with "Export (API)"


def fetch(url):
    return httpx.get(url).raise_for_status().content


with connect(f"{engine.replace('http', 'ws', 1)}/ws?clientId=otter", max_size=None) as socket:
    socket.send(json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}}))
    httpx.post(f"{engine}/prompt", json={"prompt": workflow, "client_id": "otter"}).raise_for_status()
    with iter_updates(comfyui_events(socket, f"{engine}/view"), fetch=fetch) as updates:
        for update in updates:
            print(type(update).__name__)
            if isinstance(update, ItemEnded):
                break
