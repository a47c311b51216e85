"""What the API shows of a job's progress: a sentence, and an end only if something can run."""

from typing import Any
from uuid import UUID

import pytest

from api.jobs import view
from api.jobs.progress.view import with_progress
from api.jobs.schema import Job
from lengthwise import database
from lengthwise.ledger import job_figures
from lengthwise.states import NOT_NAMED
from tests.integration.why.crew import failed, loaded, seen
from tests.ledger import DEFAULT, must_take, new_tenant, put, submit

pytestmark = pytest.mark.usefixtures("installed")

TEXTS = ["abc", "defg", "hijkl"]


def shown(job: UUID) -> Job:
    with database.engine().begin() as connection:
        figures = job_figures.read(connection, job)
        return with_progress(connection, figures, view.job(figures, 60), 5)


@pytest.mark.parametrize(
    ("models", "ago", "reason", "has_end"),
    [
        ([loaded()], 0, "next", True),
        ([loaded()], 16, "no_worker", False),
        ([failed("its folder is missing")], 0, "model_not_served", False),
        ([failed(NOT_NAMED)], 0, "model_unknown", False),
    ],
)
def test_the_end_of_a_job_is_foretold_only_while_something_can_run(
    models: list[dict[str, Any]], ago: float, reason: str, has_end: bool
) -> None:
    """An item was done in the last minute in each of these cases."""
    seen(models=models, ago=ago), seen("deliver")
    job = submit(TEXTS, shard_items=1)
    put(must_take(items=1))
    found = shown(job)
    assert found.progress is not None
    assert (found.progress.reason, found.items_per_second > 0) == (reason, True)
    assert (found.estimated_end_at is not None) == (found.progress.estimated_end_at is not None) == has_end


@pytest.mark.parametrize("has_other", [True, False])
def test_a_share_is_told_only_if_other_tenants_have_some(has_other: bool) -> None:
    seen(), seen("deliver")
    submit(TEXTS, tenant=new_tenant(weight=3) if has_other else DEFAULT)
    found = shown(submit(TEXTS)).progress
    assert found is not None and found.reason == "behind_others"
    assert ("its tenant gets 25% of the work" in found.message) == has_other
    assert ("of its own tenant" in found.message) != has_other
