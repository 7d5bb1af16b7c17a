from threading import Thread

from openai import OpenAI
from PySide6.QtWidgets import QApplication

from imgassemble import assemble
from imgassemble.screens.qt import QtScreen


def open_stream():
    return OpenAI().responses.create(
        model="gpt-5",
        input="An otter on a lake at dusk",
        tools=[{"type": "image_generation", "partial_images": 2}],
        stream=True,
    )


app = QApplication([])
screen = QtScreen()
screen.setWindowTitle("An otter on a lake at dusk")
screen.show()
Thread(target=assemble, args=(open_stream,), kwargs={"on_update": screen}, daemon=True).start()
app.exec()
