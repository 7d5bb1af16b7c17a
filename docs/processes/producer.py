import asyncio
import os

from arq import Retry, cron
from arq.connections import RedisSettings
from arq.constants import in_progress_key_prefix
from openai import AsyncOpenAI

from imgassemble import StreamTakenError
from imgassemble.web import RedisGallery

REDIS = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
LEASE_S = float(os.environ.get("LEASE_S", "30"))  # after this time another worker can go on


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
        async with context["gallery"].produce(name, title=prompt, lease_s=LEASE_S, renew_s=LEASE_S / 6) as making:
            result = await making.aassemble(open_stream)
    except StreamTakenError:  # another worker has it
        raise Retry(defer=LEASE_S) from None
    return str(result.outcome)


async def restart(context):
    """Let arq run the jobs of killed workers again. Otherwise it waits for `job_timeout` and ten seconds."""
    for name in await asyncio.to_thread(context["gallery"].orphans):
        await context["redis"].delete(in_progress_key_prefix + name)


async def startup(context):
    context["client"] = AsyncOpenAI(max_retries=0)  # a retry of the client would ask for the image again
    context["gallery"] = RedisGallery(REDIS)


class WorkerSettings:
    functions = [draw]
    cron_jobs = [cron(restart, second=set(range(0, 60, 5)))]
    on_startup = startup
    redis_settings = RedisSettings.from_dsn(REDIS)
    job_timeout = 600  # seconds
    max_tries = 10
