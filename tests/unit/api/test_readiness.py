"""What the API says of its workers to whoever asks, without a key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.admin.readiness import NO_DELIVERY, NO_GENERATION, reasons
from lengthwise.ledger.workers import LiveWorker

LIVE = ["starting", "idle", "working"]
BROKEN = "1 of the models could not be loaded by any worker: lengthwise workers says why"


def live(role: str, state: str = "idle", **models: str) -> LiveWorker:
    return LiveWorker(role, state, [{"name": name, "state": each} for name, each in models.items()])


@pytest.mark.parametrize(
    ("workers", "found"),
    [
        ([], [NO_GENERATION, NO_DELIVERY]),
        ([live("generate")], [NO_DELIVERY]),
        ([live("deliver")], [NO_GENERATION]),
        *(([live("generate", state), live("deliver", state)], []) for state in LIVE),
        ([live("generate", "stopping"), live("deliver")], [NO_GENERATION]),
        ([live("generate"), live("deliver", "stopping")], [NO_DELIVERY]),
        ([live("generate", a="failed"), live("deliver")], [BROKEN]),
        ([live("generate", a="failed"), live("generate", a="loaded"), live("deliver")], []),
        ([live("generate", a="failed"), live("generate", "stopping", a="loaded"), live("deliver")], [BROKEN]),
        ([live("generate", a="failed", b="failed"), live("deliver")], [BROKEN.replace("1", "2")]),
        ([live("generate", gone="failed"), live("deliver")], []),
    ],
)
def test_each_lack_has_its_reason(workers: list[LiveWorker], found: list[str]) -> None:
    assert reasons(workers, ["a", "b"]) == found


_workers = st.builds(
    live,
    st.sampled_from(["generate", "deliver"]),
    st.sampled_from([*LIVE, "stopping"]),
    secret=st.sampled_from(["loaded", "failed"]),
)


@given(st.lists(_workers, max_size=6))
def test_a_healthy_pair_more_leaves_no_reason_and_no_reason_names_a_model(workers: list[LiveWorker]) -> None:
    assert not any("secret" in reason for reason in reasons(workers, ["secret"]))
    assert reasons([*workers, live("generate", secret="loaded"), live("deliver")], ["secret"]) == []
