import os
from urllib.request import Request, urlopen

from imgassemble import FinalReady, FrameAdded, assemble, resuming

URL = os.environ.get("EVENTS_URL", "https://images.example.com/jobs/otter/events")


def open_stream(cursor):
    headers = {"Last-Event-ID": cursor.last_event_id} if cursor.last_event_id else {}
    return urlopen(Request(URL, headers=headers))


def show(update):
    match update:
        case FrameAdded(is_latest=True, frame=frame) | FinalReady(frame=frame):
            print(frame)


result = assemble(resuming(open_stream), on_update=show)
print(result.require_final().save("otter"))
