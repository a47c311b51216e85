"""/docs and /redoc: the API's own documentation. The viewers are files of a package, so no network is needed.

The same policy holds as for the page, so what starts the viewers is a script of ours and not one in the page.
"""

from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

from api.page import answer
from api.page.header import HEADERS, REDOC_HEADERS
from lengthwise.errors import NotFound

router = APIRouter(include_in_schema=False)

_PACKAGE = "fastapi_offline"
_TYPES = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "redoc.standalone.js": "text/javascript; charset=utf-8",
}
#: Redoc asks its maker's server for a picture.
_PICTURE_ELSEWHERE = b"https://cdn.redoc.ly/redoc/logo-mini.svg"
#: The files change with the package, under the same names.
_FOR_A_DAY = {"Cache-Control": "public, max-age=86400"}


@router.get("/docs")
async def docs() -> Response:
    """Needs no key: the requests that are tried from it carry one."""
    return HTMLResponse(answer.rendered("docs.html"), headers=HEADERS)


@router.get("/redoc")
async def redoc() -> Response:
    """The same document, to be read."""
    return HTMLResponse(answer.rendered("redoc.html"), headers=REDOC_HEADERS)


@router.get("/docs/asset/{name}")
def viewer(name: str) -> Response:
    """A file of one of the viewers."""
    if name not in _TYPES:
        raise NotFound("there is no such asset")
    return Response(_content(name), media_type=_TYPES[name], headers=HEADERS | _FOR_A_DAY)


@cache
def _content(name: str) -> bytes:
    return (files(_PACKAGE) / "static" / name).read_bytes().replace(_PICTURE_ELSEWHERE, b"data:,")
