"""Chooses an answer's format and encoding by Accept and Accept-Encoding (RFC 9110, section 12.5)."""

from typing import Annotated, Literal

from fastapi import Query, Request

from api.jobs.body_format import BodyFormat
from api.jobs.download import ResultFormat
from api.jobs.tables import result_table
from lengthwise.errors import InvalidInput
from lengthwise.formats import dialect

#: If the caller has no preference, the first of them is taken.
_ENCODINGS = ("zstd", "gzip")
_FORMATS = (BodyFormat.NDJSON, BodyFormat.CSV, BodyFormat.PARQUET)


async def wanted(
    request: Request,
    named: Annotated[
        Literal["ndjson", "csv", "parquet"] | None,
        Query(alias="format", description="Takes the place of Accept. NDJSON if neither is given."),
    ] = None,
    columns: Annotated[
        Literal["all", "results"],
        Query(description="Of a job that was sent as a table: all columns, or only those of the results."),
    ] = "all",
    delimiter: Annotated[str, Query(max_length=3, description="Of CSV: one character, or tab.")] = ",",
) -> ResultFormat:
    """The format of the results. Raises ``InvalidInput`` if this installation cannot write it."""
    body_format = BodyFormat[named.upper()] if named else _format(request)
    result_table.check(body_format, "format" if named else "accept")
    return ResultFormat(body_format, _encoding(request), columns == "all", _delimiter(delimiter))


def _delimiter(given: str) -> str:
    try:
        return dialect.delimiter(given)
    except ValueError as error:
        raise InvalidInput(str(error), "delimiter") from None


def _encoding(request: Request) -> str | None:
    """An encoding that the caller accepts; None for no encoding."""
    weights = _weights(request, "accept-encoding")
    found = {name: weights.get(name, weights.get(f"x-{name}", weights.get("*", 0.0))) for name in _ENCODINGS}
    best = max(_ENCODINGS, key=lambda name: found[name])
    return best if found[best] > 0 and found[best] >= weights.get("identity", 0.0) else None


def _format(request: Request) -> BodyFormat:
    """NDJSON, unless the caller names CSV or Parquet and prefers it. A caller who accepts none of them gets NDJSON."""
    weights = _weights(request, "accept")
    others = max(weights.get("*/*", 0.0), weights.get("application/*", 0.0))
    found = {
        body_format: weights.get(body_format, others if body_format is BodyFormat.NDJSON else 0.0)
        for body_format in _FORMATS
    }
    return max(_FORMATS, key=lambda body_format: found[body_format])


def _weights(request: Request, header: str) -> dict[str, float]:
    """The weight of each name in the header; a weight that cannot be read is 0."""
    found: dict[str, float] = {}
    for part in ",".join(request.headers.getlist(header)).lower().split(","):
        name, *params = (piece.strip() for piece in part.split(";"))
        weight = next((param[2:] for param in params if param.startswith("q=")), "1")
        try:
            found[name] = float(weight)
        except ValueError:
            found[name] = 0.0
    return found
