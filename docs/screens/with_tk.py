from threading import Thread
from tkinter import Tk

from openai import OpenAI

from imgassemble import assemble
from imgassemble.screens.tk import TkScreen


def open_stream():
    return OpenAI().responses.create(
        model="gpt-5",
        input="An otter on a lake at dusk",
        tools=[{"type": "image_generation", "partial_images": 2}],
        stream=True,
    )


root = Tk()
root.title("An otter on a lake at dusk")
screen = TkScreen(root)
screen.pack()
Thread(target=assemble, args=(open_stream,), kwargs={"on_update": screen}, daemon=True).start()
root.mainloop()
