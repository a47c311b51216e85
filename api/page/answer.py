"""Makes answers of templates. Nothing else of the page writes HTML."""

from functools import cache
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from api.access.caller import Caller
from api.page import asset, room, wording
from api.page.header import HEADERS
from api.problem import Problem


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("api.page", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(wording.FILTERS)
    made.globals["asset"] = asset.path
    return made


def rendered(template: str, **values: Any) -> str:
    """The template's text, in which every value is escaped."""
    return _environment().get_template(template).render(**values)


def page(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """A page for whoever is signed in."""
    viewer: Caller = request.state.caller
    shown = rendered(template, viewer=viewer, rooms=room.seen_by(viewer), path=request.url.path, **values)
    return HTMLResponse(shown, status, HEADERS)


def redirect(path: str) -> Response:
    """The browser goes on with a GET of ``path``, which is one of ours."""
    return RedirectResponse(path, 303, HEADERS)


def of_problem(problem: Problem) -> Response:
    """The page's form of errors. Who is not signed in may do so here, and comes back."""
    if problem.status == 401:
        return HTMLResponse(rendered("sign_in.html", wrong=None), 401, HEADERS)
    more = {name: value for name, value in (problem.headers or {}).items() if name.lower() != "www-authenticate"}
    return HTMLResponse(rendered("problem.html", problem=problem), problem.status, HEADERS | more)
