import os
from contextlib import asynccontextmanager
from secrets import token_urlsafe

from arq import create_pool
from arq.connections import RedisSettings
from fastapi import FastAPI

from imgassemble.web import RedisGallery, create_app, everyone

REDIS = os.environ.get("REDIS_URL", "redis://localhost:6379/0")


@asynccontextmanager
async def lifespan(app: FastAPI):
    app.state.jobs = await create_pool(RedisSettings.from_dsn(REDIS))
    yield
    await app.state.jobs.aclose()


gallery = RedisGallery(REDIS)
app = FastAPI(lifespan=lifespan)
app.mount("/pictures", create_app(gallery, authorize=everyone))  # put your own permission here


@app.post("/draw")
async def draw(prompt: str):
    name = token_urlsafe(12)
    await app.state.jobs.enqueue_job("draw", name, prompt, _job_id=name)
    return {"name": name}


@app.post("/stop/{name}")
def stop(name: str):  # not async: FastAPI calls it in a thread, where it can wait for Redis
    gallery.stop(name)
