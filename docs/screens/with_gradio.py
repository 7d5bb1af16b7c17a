import gradio as gr
from openai import OpenAI

from imgassemble import Assembler, FinalReady, FrameAdded, iter_updates


def draw(prompt):
    stream = OpenAI().images.generate(model="gpt-image-1", prompt=prompt, partial_images=2, stream=True)
    assembler = Assembler()
    for update in iter_updates(stream, assembler):
        match update:
            case FrameAdded(is_latest=True) | FinalReady():
                yield assembler[update.item_id].image
    if assembler.result.error:
        raise gr.Error(str(assembler.result.error))


gr.Interface(draw, gr.Textbox("An otter on a lake at dusk"), gr.Image(format="png")).launch()
