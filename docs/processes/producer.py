import os

from arq import Retry
from arq.connections import RedisSettings
from openai import AsyncOpenAI

from imgassemble import StreamTakenError
from imgassemble.web import RedisGallery

REDIS = os.environ.get("REDIS_URL", "redis://localhost:6379/0")


async def draw(context, name, prompt):
    client = context["client"]

    def open_stream(cursor):
        if cursor.response_id is None:  # no producer has received an id yet: ask for the image
            return client.responses.create(
                model="gpt-5", input=prompt, stream=True, background=True,
                tools=[{"type": "image_generation", "partial_images": 2}],
            )  # fmt: skip
        return client.responses.retrieve(cursor.response_id, stream=True, starting_after=cursor.sequence_number)

    try:
        async with context["gallery"].produce(name, title=prompt) as making:
            result = await making.aassemble(open_stream)
    except StreamTakenError:  # another worker has it, or had it until a moment ago
        raise Retry(defer=30) from None
    return str(result.outcome)


async def startup(context):
    context["client"] = AsyncOpenAI(max_retries=0)  # a retry of the client would ask for the image again
    context["gallery"] = RedisGallery(REDIS)


class WorkerSettings:
    functions = [draw]
    on_startup = startup
    redis_settings = RedisSettings.from_dsn(REDIS)
    job_timeout = 600  # seconds; arq runs the job of a killed worker again after this time and ten seconds more
    max_tries = 10
