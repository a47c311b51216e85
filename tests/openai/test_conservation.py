"""For any lines of a file: either all bad lines are named, or each good line has exactly one result."""

import json
import time
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from tests.integration.conftest import RunWorker, client
from tests.ledger import sql
from tests.openai.calls import chat_line
from tests.workers import sweep

__all__ = ["client"]

GOOD = st.builds(
    chat_line,
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=8),
    st.text("abc 你", min_size=1, max_size=8) | st.just("x" * 600),
    st.sampled_from(["echo", "other"]),
    max_tokens=st.integers(1, 9),
    stop=st.sampled_from(["a", None, ["b", "c"]]),
)
BAD = st.sampled_from([b"{", b"[]", b"{}", b'"a"', b"\xff", json.dumps(chat_line("bad", "x", "nothing")).encode()])


def upload(client: TestClient, content: bytes) -> dict[str, Any]:
    file = client.post("/v1/files", data={"purpose": "batch"}, files={"file": ("a", content)}).json()
    asked = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch: dict[str, Any] = client.post("/v1/batches", json=asked).json()
    while batch["status"] == "validating":
        time.sleep(0.01)
        batch = client.get(f"/v1/batches/{batch['id']}").json()
    return batch


def ids_in(client: TestClient, file_id: str | None) -> list[str]:
    if file_id is None:
        return []
    content = client.get(f"/v1/files/{file_id}/content").content
    assert len(content) == client.get(f"/v1/files/{file_id}").json()["bytes"]
    return [json.loads(line)["custom_id"] for line in content.splitlines()]


@settings(
    max_examples=25,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    good=st.lists(GOOD, min_size=1, max_size=12, unique_by=lambda line: str(line["custom_id"])),
    bad=st.lists(st.tuples(st.integers(0, 20), BAD), max_size=3),
    ending=st.sampled_from(["run", "cancel", "expire"]),
)
def test_every_line_has_one_result_or_every_bad_line_is_named(
    client: TestClient, run_worker: RunWorker, good: list[dict[str, Any]], bad: list[tuple[int, bytes]], ending: str
) -> None:
    lines = [json.dumps(line).encode() for line in good]
    is_bad = [False] * len(lines)
    for place, line in bad:
        lines.insert(place, line)
        is_bad.insert(place, True)
    batch = upload(client, b"\n".join(lines))
    # The second line with an unknown model also repeats a custom_id. It is named once.
    assert [error["line"] for error in (batch["errors"] or {"data": []})["data"]] == [
        number for number, wrong in enumerate(is_bad, 1) if wrong
    ]
    assert (batch["status"] == "failed") is any(is_bad)
    if any(is_bad):
        assert batch["request_counts"] == {"total": 0, "completed": 0, "failed": 0}
        return
    if ending == "run":
        run_worker()
    elif ending == "cancel":
        client.post(f"/v1/batches/{batch['id']}/cancel")
    else:
        sql("UPDATE jobs SET deadline_at = now() WHERE state = 'open'")
        sweep()
    batch = client.get(f"/v1/batches/{batch['id']}").json()
    assert batch["status"] in ("completed", "cancelled", "expired")
    output, errors = ids_in(client, batch["output_file_id"]), ids_in(client, batch["error_file_id"])
    assert sorted(output + errors) == sorted(line["custom_id"] for line in good)
    counts = {"total": len(good), "completed": len(output), "failed": len(errors)}
    assert batch["request_counts"] == counts
