import asyncio
import base64
import json
import logging
import os
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_urlsafe
from typing import Annotated

from archive import Archive
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, Response, StreamingResponse
from openai import AsyncOpenAI, OpenAIError
from starlette.middleware.sessions import SessionMiddleware

from imgassemble import Assembler, FinalReady, FrameAdded, Outcome, ProviderError, aiter_updates

SILENCE_S = float(os.environ.get("SILENCE_S", "120"))  # the longest wait for one update
logging.basicConfig(level=logging.INFO)  # imgassemble logs one line at the end of each stream
log = logging.getLogger("app")


@asynccontextmanager
async def lifespan(app: FastAPI):
    async with AsyncOpenAI(timeout=300, max_retries=2) as app.state.client:  # one client, one pool of connections
        app.state.archive = Archive("pictures.db")
        yield


app = FastAPI(lifespan=lifespan)
app.add_middleware(SessionMiddleware, secret_key=os.environ.get("SESSION_KEY") or token_urlsafe(32))


def user_of(request: Request) -> str:
    """Return the user of the session; a new visitor is a new user. Put your own login here."""
    return request.session.setdefault("user", token_urlsafe(12))


User = Annotated[str, Depends(user_of)]


@app.get("/")
async def page(user: User):
    return FileResponse(Path(__file__).with_name("page.html"))


@app.get("/draw")
async def draw(request: Request, prompt: str, user: User):
    events = events_of(request.app.state, prompt, user)
    return StreamingResponse(events, media_type="text/event-stream", headers={"cache-control": "no-store"})


@app.get("/pictures/{key}")
async def picture(request: Request, key: str, user: User):
    found = await asyncio.to_thread(request.app.state.archive.get, key, user)
    if found is None:
        raise HTTPException(404)
    data, mime_type = found
    return Response(data, media_type=mime_type, headers={"cache-control": "private, max-age=31536000, immutable"})


async def events_of(state, prompt, user):
    """Yield server-sent events. If the browser disconnects, the generator and the service's stream are closed."""
    assembler = Assembler()
    store = state.archive.sink(user, prompt)
    # Not awaited here: a refusal of the service (400, 429) is then reported like any other end of the stream.
    stream = state.client.images.generate(model="gpt-image-1", prompt=prompt, partial_images=2, stream=True)
    try:
        async with aiter_updates(stream, assembler) as updates:
            while (update := await asyncio.wait_for(anext(updates, None), SILENCE_S)) is not None:
                await asyncio.to_thread(store, update)  # a database or a bucket, never on the event loop
                match update:
                    case FrameAdded(is_latest=True, frame=frame):
                        small = await asyncio.to_thread(frame.encode, (512, 512), "WEBP")
                        url = f"data:image/webp;base64,{base64.b64encode(small).decode()}"
                        yield sse("preview", number=(frame.index or 0) + 1, url=url)
                    case FinalReady(is_provisional=False):
                        yield sse("final", url=f"/pictures/{store.key}")
    except TimeoutError:
        log.warning("no update for %.0f seconds: the stream was closed", SILENCE_S)
    except OpenAIError as error:
        log.warning("the service refused: %s", type(error).__name__)
    yield end_event(assembler)


def end_event(assembler):
    result = assembler.result
    if result.outcome is Outcome.COMPLETED:
        return sse("end")
    error = result.error
    if isinstance(error, ProviderError) and error.is_blocked:  # the browser hides the previews then
        return sse("blocked", message="This picture is not allowed. Please change the description.")
    return sse("failed", message="The picture could not be made. Please try again.", details=str(error))


def sse(kind, **facts):
    return f"event: {kind}\ndata: {json.dumps(facts)}\n\n"
