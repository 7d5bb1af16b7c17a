from pathlib import Path

from starlette.applications import Starlette
from starlette.responses import FileResponse
from starlette.routing import Mount, Route

from imgassemble.web import Gallery, create_app, everyone

gallery = Gallery()  # your code shows a stream: assemble(stream, on_update=gallery.add("an otter"))


async def page(request):
    return FileResponse(Path(__file__).with_name("vanilla.html"))


app = Starlette(routes=[Mount("/pictures", create_app(gallery, authorize=everyone)), Route("/", page)])
