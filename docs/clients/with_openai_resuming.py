from openai import OpenAI

from imgassemble import FinalReady, FrameAdded, assemble, resuming

client = OpenAI()


def open_stream(cursor):
    if cursor.response_id is None:
        return client.responses.create(
            model="gpt-5",
            input="An otter on a lake at dusk",
            tools=[{"type": "image_generation", "partial_images": 2}],
            background=True,  # the service can resume only these
            stream=True,
        )
    return client.responses.retrieve(cursor.response_id, stream=True, starting_after=cursor.sequence_number)


def show(update):
    match update:
        case FrameAdded(is_latest=True, frame=frame) | FinalReady(frame=frame):
            print(frame)


result = assemble(resuming(open_stream), on_update=show)
print(result.require_final().save("otter"))
