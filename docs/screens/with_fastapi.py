from itertools import count

from fastapi import BackgroundTasks, FastAPI
from openai import AsyncOpenAI

from imgassemble import aassemble
from imgassemble.web import Gallery, create_app, everyone

app = FastAPI()  # run it: fastapi dev with_fastapi.py
client = AsyncOpenAI()
gallery = Gallery()
numbers = count(1)
app.mount("/pictures", create_app(gallery, authorize=everyone))  # or your own check of a request


@app.post("/draw")
async def draw(prompt: str, background: BackgroundTasks):
    # Not awaited here, so that the page shows a refusal of the service, too.
    stream = client.images.generate(model="gpt-image-1", prompt=prompt, partial_images=2, stream=True)
    background.add_task(aassemble, stream, on_update=gallery.add(f"picture {next(numbers)}", title=prompt))
    return {"see": "/pictures/"}
