"""What a tenant used: by day as a plot, by key and by model, and as CSV."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from io import StringIO
from typing import Any, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Request, Response
from markupsafe import Markup

from api.access.caller import Caller
from api.admin import keys, tenants, usage
from api.admin.usage import FirstDay, GroupName, Groups, LastDay, UsageSum
from api.page import answer, plot
from api.page.account import sums
from api.page.account.sums import OfTenant
from api.page.header import HEADERS
from api.page.session import PageReader
from api.problem import Problem, described
from lengthwise.errors import InvalidInput
from lengthwise.key import Scope

router = APIRouter(prefix="/page/usage", include_in_schema=False)

_FIGURES = ("requests", "items", "input_tokens", "output_tokens")
#: The most rows of a table of keys or models; the rest is in the CSV.
_MOST_ROWS = 100
#: Keys whose names are looked up, the newest first: as many as one answer of the API has.
_NAMED_KEYS = 100
_OWN_KEY = "the installation's own key"
_NO_MODEL = "no model"
_MAX_CHARACTERS = 200
#: What each download is summed by.
_DOWNLOADS: dict[str, list[GroupName]] = {
    "by day": ["day"],
    "by key": ["key"],
    "by model": ["model"],
    "by day, key and model": ["day", "key", "model"],
}


class NamedSum(NamedTuple):
    """A row of a table: a key, a model or a day, and what it used."""

    name: str
    #: The id of a key that has a name.
    note: str | None
    used: UsageSum


class UsageTable(NamedTuple):
    of: str
    rows: list[NamedSum]
    n_hidden: int = 0


@dataclass(frozen=True, slots=True)
class Used:
    """What one look shows, from the first to the last day."""

    first: date
    last: date
    by_day: list[UsageSum]
    by_key: UsageTable
    by_model: UsageTable

    def total(self, figure: str) -> int:
        return sum(int(getattr(each, figure)) for each in self.by_day)

    @property
    def day_table(self) -> UsageTable:
        return UsageTable("Day", [NamedSum(str(each.day), None, each) for each in reversed(self.by_day)])

    def token_plot(self) -> Markup:
        return self._plot("Input and output tokens by day", {each.day: _tokens(each) for each in self.by_day})

    def item_plot(self) -> Markup:
        return self._plot("Items by day", {each.day: each.items for each in self.by_day})

    def _plot(self, title: str, of_day: Mapping[date | None, int]) -> Markup:
        """A bar for each day, those without usage included."""
        days = [self.first + timedelta(n) for n in range((self.last - self.first).days + 1)]
        return plot.bars(title, [plot.PlotBar(f"{day:%m-%d}", of_day.get(day, 0)) for day in days])


@router.get("")
def show(request: Request, tenant: PageReader, of_tenant: OfTenant = None) -> Response:
    """The last 30 days, or those that the form names. What is wrong in it is kept as it was typed."""
    typed = {name: request.query_params.get(name, "").strip()[:_MAX_CHARACTERS] for name in ("from", "to")}
    of_tenant = of_tenant or None
    used: Used | None = None
    wrong: Problem | None = None
    try:
        first, last = usage.days(typed["from"] or None, typed["to"] or None)
        typed = {"from": first.isoformat(), "to": last.isoformat()}
        used = _look(request, tenant, of_tenant, first, last)
    except InvalidInput as error:
        wrong = described(error)
    return answer.page(
        request,
        "account/usage.html",
        wrong.status if wrong else 200,
        typed=typed,
        used=used,
        wrong=wrong,
        of_tenant=of_tenant,
        owner=tenants.show_tenant(request, tenant, of_tenant) if used and of_tenant else None,
        downloads={name: _query(typed, of_tenant, by) for name, by in _DOWNLOADS.items()},
    )


@router.get("/csv")
def as_csv(
    request: Request,
    tenant: PageReader,
    first: FirstDay = None,
    to: LastDay = None,
    by: Groups = None,
    of_tenant: OfTenant = None,
) -> Response:
    """The rows and columns of ``lengthwise usage --csv``."""
    first_day, last_day = usage.days(first, to)
    groups: list[GroupName] = list(dict.fromkeys(by or _DOWNLOADS["by day"]))
    found = sums.read(request, tenant, of_tenant, first_day, last_day, groups)
    disposition = f'attachment; filename="usage-{first_day}-{last_day}.csv"'
    return Response(
        _lines(found, [*groups, *_FIGURES]),
        media_type="text/csv; charset=utf-8",
        headers=HEADERS | {"Content-Disposition": disposition},
    )


def _look(request: Request, tenant: UUID, of_tenant: str | None, first: date, last: date) -> Used:
    def read(by: GroupName) -> list[UsageSum]:
        return sums.read(request, tenant, of_tenant, first, last, [by])

    names = _key_names(request, tenant, of_tenant)
    return Used(
        first,
        last,
        read("day"),
        _table("Key", (_of_key(each, names) for each in read("key"))),
        _table("Model", (NamedSum(each.model or _NO_MODEL, None, each) for each in read("model"))),
    )


def _key_names(request: Request, tenant: UUID, of_tenant: str | None) -> dict[str, str]:
    """By id, for those who may see keys."""
    viewer: Caller = request.state.caller
    if not viewer.may(Scope.ADMIN):
        return {}
    return {key.id: key.name for key in keys.list_keys(request, tenant, None, _NAMED_KEYS, of_tenant).data}


def _of_key(used: UsageSum, names: Mapping[str, str]) -> NamedSum:
    if used.key is None:
        return NamedSum(_OWN_KEY, None, used)
    name = names.get(used.key)
    return NamedSum(name or used.key, used.key if name else None, used)


def _table(of: str, rows: Iterable[NamedSum]) -> UsageTable:
    """Those that used most come first."""
    by_use = sorted(rows, key=lambda row: (-_tokens(row.used), -row.used.requests, row.name))
    return UsageTable(of, by_use[:_MOST_ROWS], max(0, len(by_use) - _MOST_ROWS))


def _tokens(used: UsageSum) -> int:
    return used.input_tokens + used.output_tokens


def _query(typed: Mapping[str, str], of_tenant: str | None, by: Sequence[str]) -> str:
    query: dict[str, Any] = {**typed, "by": by}
    if of_tenant:
        query["tenant"] = of_tenant
    return urlencode(query, doseq=True)


def _lines(found: Sequence[UsageSum], columns: Sequence[str]) -> str:
    out = StringIO(newline="")
    writer = csv.DictWriter(out, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    rows: list[dict[str, Any]] = [each.model_dump() for each in found]
    writer.writerows(rows)
    return out.getvalue()
