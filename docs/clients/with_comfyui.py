import json
import os
import sys

import httpx
from websockets.sync.client import connect

from imgassemble import FinalReady, FrameAdded, assemble
from imgassemble.streams import comfyui_events

HOST = os.environ.get("COMFYUI_HOST", "127.0.0.1:8188")
FEATURES = {"type": "feature_flags", "data": {"supports_preview_metadata": True}}
ENDS = ("execution_success", "execution_error", "execution_interrupted")

# A workflow in API format, with a SaveImageWebsocket node for the result: python with_comfyui.py workflow.json
with open(sys.argv[1]) as file:
    workflow = json.load(file)


def show(update):
    match update:
        case FrameAdded(is_latest=True, frame=frame) | FinalReady(frame=frame):
            print(frame)


def messages():
    with connect(f"ws://{HOST}/ws?clientId=otter", max_size=None) as socket:
        socket.send(json.dumps(FEATURES))
        asked = {"prompt": workflow, "client_id": "otter"}
        httpx.post(f"http://{HOST}/prompt", json=asked).raise_for_status()
        for message in socket:
            yield message
            if isinstance(message, str) and json.loads(message)["type"] in ENDS:
                return


result = assemble(comfyui_events(messages()), on_update=show)
print(result.require_final().save("otter"))
