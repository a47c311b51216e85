"""An error has the form of the router to which its path belongs, even if the router does not have that path."""

import pytest
from fastapi import APIRouter
from starlette.responses import JSONResponse

from api import problem
from api.app import ROUTERS
from api.openai import error
from api.problem import ErrorForms, Problem
from lengthwise.kinds.openai import ENDPOINTS

NATIVE = [
    "/",
    "/nowhere",
    "/healthz",
    "/v1/jobs",
    "/v1/jobs/x/nowhere",
    "/v1/models",
    "/v1/models/reload",
    "/v1/tenants/x/usage",
    "/v1/limits",
    "/v1/batchesx",
    "/v1/chat",
    "/v1",
]
OPENAI = [
    "/v1/batches",
    "/v1/batches/",
    "/v1/batches/x/y/z",
    "/v1/files/x/content/y",
    "/v1/models/x",
    "/v1/models/owner/x",
    *ENDPOINTS,
    *(f"{path}/nowhere" for path in ENDPOINTS),
]


@pytest.fixture(scope="module")
def forms() -> ErrorForms:
    found = ErrorForms()
    for form, routers in ROUTERS:
        for router in routers:
            found.add(router, form)
    return found


@pytest.mark.parametrize("path", NATIVE)
def test_errors_of_native_and_unknown_paths_are_problem_details(forms: ErrorForms, path: str) -> None:
    assert forms.of(path) is problem.details


@pytest.mark.parametrize("path", OPENAI)
def test_errors_of_openai_paths_have_openais_form(forms: ErrorForms, path: str) -> None:
    assert forms.of(path) is error.from_problem


def test_a_router_below_another_one_has_its_own_form() -> None:
    def form(_: Problem) -> JSONResponse:
        return JSONResponse({})

    outer, inner = APIRouter(prefix="/a"), APIRouter(prefix="/a/b")
    outer.add_api_route("/{x}", lambda: None)
    inner.add_api_route("/{x}", lambda: None)
    found = ErrorForms()
    found.add(inner, form)
    found.add(outer, problem.details)
    assert found.of("/a/b/c/d") is form
    assert found.of("/a/c") is problem.details
