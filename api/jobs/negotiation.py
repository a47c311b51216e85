"""What form and what encoding an answer's caller would like best, by Accept and Accept-Encoding (RFC 9110, 12.5)."""

from typing import Annotated, Literal

from fastapi import Query, Request

from api.jobs import result_table
from api.jobs.body_format import BodyFormat
from api.jobs.download import ResultFormat

#: The better first, where the caller likes both as much.
_ENCODINGS = ("zstd", "gzip")
_FORMS = (BodyFormat.NDJSON, BodyFormat.CSV, BodyFormat.PARQUET)


async def wanted(
    request: Request,
    named: Annotated[
        Literal["ndjson", "csv", "parquet"] | None,
        Query(alias="format", description="Instead of what Accept says; NDJSON where neither says anything."),
    ] = None,
) -> ResultFormat:
    """How the results are wanted. Raises ``InvalidInput`` for what this installation cannot write."""
    form = BodyFormat[named.upper()] if named else _form(request)
    result_table.check(form, "format" if named else "accept")
    return ResultFormat(form, _encoding(request))


def _encoding(request: Request) -> str | None:
    """One of ours that is accepted; None for no encoding."""
    weights = _weights(request, "accept-encoding")
    found = {name: weights.get(name, weights.get(f"x-{name}", weights.get("*", 0.0))) for name in _ENCODINGS}
    best = max(_ENCODINGS, key=lambda name: found[name])
    return best if found[best] > 0 and found[best] >= weights.get("identity", 0.0) else None


def _form(request: Request) -> BodyFormat:
    """NDJSON, unless CSV or Parquet is named and liked better. Nothing is refused: what else should one answer?"""
    weights = _weights(request, "accept")
    others = max(weights.get("*/*", 0.0), weights.get("application/*", 0.0))
    found = {form: weights.get(form, others if form is BodyFormat.NDJSON else 0.0) for form in _FORMS}
    return max(_FORMS, key=lambda form: found[form])


def _weights(request: Request, header: str) -> dict[str, float]:
    """Of each name; one that cannot be read is not wanted."""
    found: dict[str, float] = {}
    for part in ",".join(request.headers.getlist(header)).lower().split(","):
        name, *params = (piece.strip() for piece in part.split(";"))
        weight = next((param[2:] for param in params if param.startswith("q=")), "1")
        try:
            found[name] = float(weight)
        except ValueError:
            found[name] = 0.0
    return found
