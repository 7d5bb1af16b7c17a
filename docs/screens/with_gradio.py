import gradio as gr
from openai import OpenAI

from imgassemble import FinalReady, FrameAdded, StreamEnded, iter_updates


def draw(prompt):
    def open_stream():
        return OpenAI().images.generate(model="gpt-image-1", prompt=prompt, partial_images=2, stream=True)

    with iter_updates(open_stream) as updates:
        for update in updates:
            match update:
                case FrameAdded(is_latest=True, frame=frame) | FinalReady(frame=frame, is_provisional=False):
                    yield frame.decode()
                case StreamEnded(error=error) if error:
                    yield None  # a preview without a result is not shown
                    raise gr.Error(str(error))


gr.Interface(draw, gr.Textbox("An otter on a lake at dusk"), gr.Image(format="png")).launch()
