"""Refuses what another site sends in a viewer's name. The cookie's SameSite stops most of it; this stops the rest.

Other ports of the same host, and other hosts of the same domain, are the same site to a cookie, and are others here.
"""

from urllib.parse import urlsplit

from fastapi import Request
from starlette.exceptions import HTTPException

_REFUSED = "this was not sent by a page of this installation: open the page and try again"


def require_own(request: Request) -> None:
    """Raises a 403 unless the browser says that one of our own pages sent this.

    ``Sec-Fetch-Site`` says so over TLS and on this machine; elsewhere ``Origin`` does. No script of a site can set
    either of them.
    """
    site = request.headers.get("sec-fetch-site")
    is_own = site == "same-origin" if site is not None else _is_here(request, request.headers.get("origin"))
    if not is_own:
        raise HTTPException(403, _REFUSED)


def is_encrypted(request: Request) -> bool:
    """Whether the browser reached us over TLS, as its form says: a proxy may have ended that."""
    return request.headers.get("origin", "").startswith("https://")


def page_before(request: Request) -> str | None:
    """The path of our page on which the form was; None if it was no page of ours."""
    referer = request.headers.get("referer", "")
    if not _is_here(request, referer):
        return None
    parts = urlsplit(referer)
    if parts.path != "/page" and not parts.path.startswith("/page/"):
        return None
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _is_here(request: Request, url: str | None) -> bool:
    try:
        host = urlsplit(url or "").netloc
    except ValueError:
        return False
    return bool(host) and host == request.headers.get("host")
