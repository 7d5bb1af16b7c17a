import os
from threading import Thread

import uvicorn
from diffusers import StableDiffusionPipeline

from imgassemble import Assembler, Picture
from imgassemble.screens import TerminalScreen
from imgassemble.web import Gallery, create_app, everyone

PROMPT = "An otter on a lake at dusk"
pipeline = StableDiffusionPipeline.from_pretrained("stable-diffusion-v1-5/stable-diffusion-v1-5")
assembler, gallery = Assembler(), Gallery()
app, port = create_app(gallery, authorize=everyone), int(os.environ.get("PORT", "8000"))
page = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
Thread(target=page.run, daemon=True).start()  # see http://127.0.0.1:8000/


def show_step(pipeline, step, timestep, tensors):
    if step % 5 == 0:  # decoding a preview takes time
        pixels = pipeline.vae.decode(tensors["latents"] / pipeline.vae.config.scaling_factor, return_dict=False)[0]
        (image,) = pipeline.image_processor.postprocess(pixels)
        assembler.feed(Picture("otter", image, index=step // 5))
    return tensors


with TerminalScreen() as screen:
    assembler.subscribe(screen)
    gallery.add(PROMPT, assembler)
    (image,) = pipeline(PROMPT, num_inference_steps=30, callback_on_step_end=show_step).images
    assembler.feed(Picture("otter", image, is_final=True))
    assembler.close()
assembler.result.require_final().save("otter")
