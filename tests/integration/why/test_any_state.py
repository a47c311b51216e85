"""Whatever the state of the shards, one reason is given, and its sentence."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.jobs.progress import message
from lengthwise import database
from lengthwise.ledger import job_figures, why
from lengthwise.states import JobState, Reason
from tests.integration.why.crew import failed, loaded, seen
from tests.ledger import sql, submit

pytestmark = pytest.mark.usefixtures("installed")

MODELS = st.sampled_from([(), [loaded()], [failed("broken")], [loaded(paused_until="2100-01-01T00:00:00+00:00")]])
WORKERS = st.lists(
    st.tuples(
        st.sampled_from(["generate", "deliver"]),
        st.sampled_from(["starting", "idle", "working", "stopping"]),
        st.sampled_from([0, 20]),
        MODELS,
    ),
    max_size=3,
)
SHARDS = st.lists(
    st.tuples(
        st.sampled_from(["ready", "leased", "done"]),
        st.integers(0, 3),  # deaths
        st.integers(0, 5),  # attempts
        st.sampled_from([-60, 60]),  # not_before
        st.sampled_from([-60, 60, None]),  # lease_until
        st.sampled_from(["echo:0", "other:1"]),
    ),
    min_size=1,
    max_size=5,
)
CHANGE = """
UPDATE shards SET state = :state, deaths = :deaths, attempts = :attempts, pool = :pool,
  not_before = now() + make_interval(secs => :not_before), lease_until = now() + make_interval(secs => :lease),
  token = CASE WHEN :state = 'leased' THEN gen_random_uuid() END
WHERE job_id = :job AND lo = :lo
"""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shards=SHARDS, workers=WORKERS, n_others=st.integers(0, 2))
def test_one_reason_is_given_in_one_sentence(
    shards: list[tuple[object, ...]], workers: list[tuple[str, str, float, list[object]]], n_others: int
) -> None:
    sql("TRUNCATE jobs, items, shards, results, turns, workers CASCADE")
    for role, reported, ago, models in workers:
        seen(role, reported, ago=ago, models=models)
    for _ in range(n_others):
        submit(["x"], pool="echo:0")
    job = submit(["x"] * len(shards), pool="echo:0", shard_items=1)
    for lo, (state, deaths, attempts, not_before, until, pool) in enumerate(shards):
        sql(
            CHANGE,
            job=job, lo=lo, state=state, deaths=deaths, attempts=attempts, pool=pool, not_before=not_before,
            lease=until,
        )  # fmt: skip
    with database.engine().begin() as connection:
        figures = job_figures.read(connection, job)
        found = why.read(connection, figures, presence_seconds=5)
    sentence = message.of_job(found, figures)
    assert figures.state is JobState.OPEN
    assert found.reason in set(Reason) - {Reason.ENDED, Reason.DELIVERING, Reason.VALIDATING}
    assert (found.reason is Reason.ENDING) == all(shard[0] == "done" for shard in shards)
    assert sentence[0].isupper() or sentence[0].isdigit()
    assert sentence.endswith(".") and sentence.count(". ") == 0
    assert "None" not in sentence.split()[1:]
