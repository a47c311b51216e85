"""The style, the script and the icon of the page. Each has its content's hash in its name, so it is kept for ever."""

import hashlib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from fastapi import APIRouter, Response

from api.page.header import HEADERS
from lengthwise.errors import NotFound

router = APIRouter(prefix="/page/asset", include_in_schema=False)

_TYPES = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "documentation.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_HASH_DIGITS = 12
_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}


class Asset(NamedTuple):
    content: bytes
    media_type: str


@cache
def _assets() -> dict[str, Asset]:
    """By the name under which each is served."""
    folder = files("api.page") / "static"
    found = {name: Asset((folder / name).read_bytes(), media_type) for name, media_type in _TYPES.items()}
    return {_hashed(name, asset.content): asset for name, asset in found.items()}


def _hashed(name: str, content: bytes) -> str:
    stem, _, suffix = name.rpartition(".")
    return f"{stem}.{hashlib.sha256(content).hexdigest()[:_HASH_DIGITS]}.{suffix}"


@cache
def path(name: str) -> str:
    """Where the asset of this name is."""
    stem, _, suffix = name.rpartition(".")
    [found] = [each for each in _assets() if each.startswith(f"{stem}.") and each.endswith(f".{suffix}")]
    return f"{router.prefix}/{found}"


@router.get("/{name}")
async def asset(name: str) -> Response:
    """Needs no key: everybody has the same."""
    found = _assets().get(name)
    if found is None:
        raise NotFound("there is no such asset")
    return Response(found.content, media_type=found.media_type, headers=HEADERS | _FOR_EVER)
