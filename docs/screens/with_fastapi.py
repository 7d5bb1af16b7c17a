from itertools import count

from fastapi import BackgroundTasks, FastAPI
from openai import AsyncOpenAI

from imgassemble import aassemble
from imgassemble.web import Gallery, create_app, everyone

app = FastAPI()  # run it: fastapi dev with_fastapi.py
gallery = Gallery()
numbers = count(1)
app.mount("/pictures", create_app(gallery, authorize=everyone))  # or your own check of a request


@app.post("/draw")
async def draw(prompt: str, background: BackgroundTasks):
    stream = await AsyncOpenAI().images.generate(model="gpt-image-1", prompt=prompt, partial_images=2, stream=True)
    background.add_task(aassemble, stream, on_update=gallery.add(f"{prompt} ({next(numbers)})"))
    return {"see": "/pictures/"}
