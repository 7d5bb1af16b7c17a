from threading import Thread
from tkinter import Tk

from openai import OpenAI

from imgassemble import assemble
from imgassemble.screens.tk import TkScreen


def read():
    stream = OpenAI().responses.create(
        model="gpt-5",
        input="An otter on a lake at dusk",
        tools=[{"type": "image_generation", "partial_images": 2}],
        stream=True,
    )
    assemble(stream, on_update=screen)


root = Tk()
root.title("An otter on a lake at dusk")
screen = TkScreen(root)
screen.pack()
Thread(target=read, daemon=True).start()
root.mainloop()
