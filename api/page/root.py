"""The way from / to the page."""

from fastapi import APIRouter, Response

from api.page import answer

router = APIRouter(include_in_schema=False)


@router.get("/")
async def root() -> Response:
    return answer.redirect("/page")
