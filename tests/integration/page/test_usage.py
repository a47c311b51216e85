"""Usage on the page: the sums of the API by day, key and model, as plots, tables and CSV."""

import csv
import io
from datetime import date, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from starlette.testclient import TestClient

from api.page.header import CONTENT_SECURITY_POLICY
from lengthwise.key import INSTALLATION
from tests.integration.access import keys
from tests.integration.page.viewer import Shown, operator, with_scopes
from tests.ledger import DEFAULT, sql

DAYS = {"from": "2031-01-30", "to": "2031-02-02"}
FIGURES = ["requests", "items", "input_tokens", "output_tokens"]


@pytest.fixture
def key(client: TestClient) -> str:
    """A key that did something on two of four days."""
    made: str = keys.new_key(client, "read", "submit", name="the shop")["id"]
    work = "INSERT INTO model_usage VALUES (:tenant, :day, :key, :model, :items, :items * 10, :items * 100)"
    for day, who, model, items in (
        ("2031-01-30", made, "m1", 1),
        ("2031-01-30", made, 'm"2,\r\n', 20),
        ("2031-02-01", str(INSTALLATION), "m1", 300),
        ("2031-02-03", made, "m1", 4000),
    ):
        sql(work, tenant=DEFAULT, day=day, key=who, model=model, items=items)
    sql(
        "INSERT INTO usage (tenant_id, day, key_id, requests) VALUES (:tenant, '2031-01-30', :key, 7)",
        tenant=DEFAULT, key=made,
    )  # fmt: skip
    return made


def test_usage_is_shown_by_day_key_and_model(client: TestClient, key: str) -> None:
    answered = operator(client).get("/page/usage", params=DAYS)
    assert answered.status_code == 200
    shown = Shown(answered.text)
    assert len(shown.all("svg")) == 2
    assert len(shown.all("rect")) == 8, "a bar for each of four days in both plots"
    for bar in ("01-30: 2,310", "01-31: 0", "02-01: 33,000", "02-02: 0", "01-30: 21", "02-01: 300"):
        assert bar in shown.text, bar
    assert "4,000" not in shown.text, "that is of another day"
    assert f"the shop {key}" in shown.text and "the installation's own key" in shown.text
    assert "no model requests: 7; input tokens: 0" in shown.text
    assert [each["value"] for each in shown.all("input")] == list(DAYS.values())


def test_a_reader_sees_usage_without_the_names_of_keys(client: TestClient, key: str) -> None:
    text = Shown(with_scopes(client, "read").get("/page/usage", params=DAYS).text).text
    assert key in text and "the shop" not in text


def test_those_that_used_most_come_first_and_the_rest_is_counted(client: TestClient) -> None:
    work = "INSERT INTO model_usage VALUES (:tenant, '2031-01-30', :tenant, :model, 1, :tokens, 0)"
    for n in range(104):
        sql(work, tenant=DEFAULT, model=f"model-{n:03}", tokens=n)
    text = Shown(operator(client).get("/page/usage", params=DAYS).text).text
    assert text.index("model-103") < text.index("model-102") < text.index("model-004")
    assert "model-003" not in text
    assert "4 more are in the CSV" in text


def rows_of(client: TestClient, *by: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/v1/usage", params={**DAYS, "by": list(by)}).json()["data"]
    return found


def test_each_download_has_the_rows_of_the_api(client: TestClient, key: str) -> None:
    viewer = operator(client)
    shown = Shown(viewer.get("/page/usage", params=DAYS).text)
    links = [each["href"] or "" for each in shown.all("a") if (each["href"] or "").startswith("/page/usage/csv?")]
    seen = []
    for link in links:
        answered = viewer.get(link)
        assert answered.status_code == 200
        assert answered.headers["content-type"] == "text/csv; charset=utf-8"
        assert answered.headers["content-disposition"] == 'attachment; filename="usage-2031-01-30-2031-02-02.csv"'
        assert answered.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        by = [value for name, value in parse_qsl(urlsplit(link).query) if name == "by"]
        seen.append(by)
        table = list(csv.reader(io.StringIO(answered.text, newline="")))
        assert table[0] == [*by, *FIGURES]
        expected = [["" if row[name] is None else str(row[name]) for name in table[0]] for row in rows_of(client, *by)]
        assert table[1:] == expected and expected
    assert seen == [["day"], ["key"], ["model"], ["day", "key", "model"]]


def test_a_download_without_a_name_is_by_day(client: TestClient, key: str) -> None:
    answered = operator(client).get("/page/usage/csv", params=DAYS)
    assert answered.text.splitlines()[0] == "day,requests,items,input_tokens,output_tokens"


def test_an_operator_sees_the_usage_of_any_tenant(client: TestClient, key: str) -> None:
    tenant = keys.new_tenant(client, "stranger")
    sql("INSERT INTO usage (tenant_id, day, key_id, requests) VALUES (:t, '2031-01-31', :t, 5)", t=tenant)
    answered = operator(client).get("/page/usage", params=DAYS | {"tenant": tenant})
    shown = Shown(answered.text)
    assert "Usage of the tenant stranger" in shown.text
    assert "the shop" not in shown.text and key not in shown.text
    assert tenant in {each["value"] for each in shown.all("input")}, "the form keeps to the tenant"
    [link, *_] = [each["href"] or "" for each in shown.all("a") if (each["href"] or "").startswith("/page/usage/csv?")]
    assert operator(client).get(link).text.splitlines()[1:] == ["2031-01-31,5,0,0,0"]


@pytest.mark.parametrize("path", ["/page/usage", "/page/usage/csv"])
def test_only_an_admin_names_a_tenant(client: TestClient, path: str) -> None:
    assert with_scopes(client, "read").get(path, params={"tenant": str(DEFAULT)}).status_code == 403
    assert operator(client).get(path, params={"tenant": "none"}).status_code == 404


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"to": "2031-02-30"}, "to"),
        ({"from": "2031-01-02", "to": "2031-01-01"}, "from"),
        ({"from": "2030-01-01", "to": "2031-01-02"}, "from"),
    ],
)
def test_wrong_days_are_refused_with_what_was_typed(client: TestClient, typed: dict[str, str], field: str) -> None:
    viewer = operator(client)
    answered = viewer.get("/page/usage", params=typed)
    assert answered.status_code == 422
    shown = Shown(answered.text)
    assert f"{field}: must be a day" in shown.text
    assert {each["name"]: each["value"] for each in shown.all("input")} == {"from": "", "to": ""} | typed
    assert shown.all("svg") == []
    assert viewer.get("/page/usage/csv", params=typed).status_code == 422


@pytest.mark.parametrize("typed", [{}, {"from": "", "to": ""}])
def test_without_days_the_last_thirty_are_shown(client: TestClient, typed: dict[str, str]) -> None:
    shown = Shown(operator(client).get("/page/usage", params=typed).text)
    first, last = (date.fromisoformat(each["value"] or "") for each in shown.all("input"))
    assert last - first == timedelta(days=29)
    assert len(shown.all("rect")) == 60


@pytest.mark.parametrize(
    "days", [("0001-01-01", "0001-01-01"), ("9999-12-31", "9999-12-31"), ("2031-01-01", "2032-01-01")]
)
def test_days_at_the_ends_of_time_and_a_whole_year_are_shown(client: TestClient, days: tuple[str, str]) -> None:
    answered = operator(client).get("/page/usage", params={"from": days[0], "to": days[1]})
    assert answered.status_code == 200
    n_days = (date.fromisoformat(days[1]) - date.fromisoformat(days[0])).days + 1
    assert len(Shown(answered.text).all("rect")) == 2 * n_days
