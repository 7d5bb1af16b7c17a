"""The live page: previews that sharpen in a browser, served alone or mounted in a FastAPI or Starlette application.

    gallery = Gallery()
    app.mount("/pictures", create_app(gallery, authorize=may_see))
    result = await aassemble(stream, on_update=gallery.add("an otter"))

Starlette, of the extra `web`, is imported only when the application is used; redis-py, of the extra `redis`, only for a
`RedisGallery`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .gallery import Gallery

if TYPE_CHECKING:
    from .app import create_app, everyone
    from .redis.gallery import RedisGallery

__all__ = ["Gallery", "RedisGallery", "create_app", "everyone"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "RedisGallery":
        from .redis import gallery

        return gallery.RedisGallery
    from . import app

    return getattr(app, name)


def __dir__() -> list[str]:
    return sorted(__all__)
