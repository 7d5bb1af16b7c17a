import sys

from comfy_sdk import Comfy, Preview

from imgassemble import FinalReady, FrameAdded, Picture, assemble


def show(update):
    match update:
        case FrameAdded(is_latest=True, frame=frame) | FinalReady(frame=frame):
            print(frame)


def pictures(job):
    for event in job.events():
        if isinstance(event, Preview):
            yield Picture(job.id, event.data)
    for output in job.result().outputs:
        yield Picture(job.id, output.to_bytes(), is_final=True)


# A workflow in API format: python with_comfy_sdk.py workflow.json
with Comfy() as client:
    job = client.submit(client.workflows.from_file(sys.argv[1]))
    result = assemble(pictures(job), on_update=show)
print(result.require_final().save("otter"))
