"""Compares the client's acknowledged jobs with the results, the tables and the received webhooks."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults.client import AcknowledgedJob
from tests.faults.receiver import Hit
from tests.faults.scene import Scene

COUNTS = ("lost", "doubled", "misaligned", "stuck", "leaks")


@dataclass
class Verdict:
    """The counts of what went wrong, all of which must be zero, and how many items were checked."""

    #: Acknowledged items.
    acknowledged: int = 0
    #: Acknowledged items without a result, or with an error that is not their own.
    lost: int = 0
    #: Items with two results, tokens that were counted twice, job ends that were announced twice.
    doubled: int = 0
    #: Results that do not match their input.
    misaligned: int = 0
    #: Jobs that do not end.
    stuck: int = 0
    #: Log files and Redis keys that contain a customer's text.
    leaks: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def counts(self) -> list[int]:
        """The values of ``COUNTS``, in order."""
        return [getattr(self, name) for name in COUNTS]

    def note(self, text: str, count: int = 1) -> int:
        if count and text not in self.notes:
            self.notes.append(text)
        return count


def wait_ended(scene: Scene, patience: float) -> set[str]:
    """Waits until no job is open, acknowledged or not. Returns the jobs that still are."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if not scene.tables.open_jobs():
            return set()
        time.sleep(0.05)
    return scene.tables.open_jobs()


def judge(scene: Scene, open_jobs: set[str]) -> Verdict:
    """Judges everything except leaks."""
    verdict = Verdict(stuck=len(open_jobs))
    for job in scene.jobs:
        verdict.acknowledged += len(job.texts)
        lines = scene.client.get(f"/v1/jobs/{job.id}/results").content
        judge_results(job, lines, scene.client.get(f"/v1/jobs/{job.id}").json(), verdict)
    _judge_webhooks(scene, [job for job in scene.jobs if job.webhook_url and job.id not in open_jobs], verdict)
    return verdict


def judge_results(job: AcknowledgedJob, content: bytes, figures: dict[str, Any], verdict: Verdict) -> None:
    """Compares one job's downloaded results and its figures with its texts."""
    lines = [json.loads(line) for line in content.splitlines()]
    times = Counter(line["index"] for line in lines)
    verdict.doubled += verdict.note("an index occurs twice", sum(count - 1 for count in times.values()))
    missing = len(job.texts) - len(times)
    verdict.lost += verdict.note("items without a result", missing)
    answered: dict[int, int] = {}
    for line in lines:
        index, code = line["index"], line.get("error", {}).get("code")
        wanted = job.errors.get(index)
        if code is not None:
            verdict.lost += verdict.note(f"{code} for {wanted or 'a good item'}", code != wanted)
        elif wanted is not None or line["output"]["text"] != job.texts[index][::-1]:
            verdict.misaligned += verdict.note(f"an answer instead of {wanted}" if wanted else "another item's answer")
        else:
            answered[index] = len(job.texts[index])
    if figures["usage"]["output_tokens"] != sum(answered.values()):
        verdict.doubled += verdict.note("tokens counted twice or not at all")
    if figures["counts"]["total"] != len(job.texts):
        verdict.lost += verdict.note("the job counts another number of items")


def _judge_webhooks(scene: Scene, jobs: Sequence[AcknowledgedJob], verdict: Verdict) -> None:
    """Checks that each job end has one delivery, and that the receiver saw one id and one body for it."""
    hits: dict[str, list[Hit]] = {}
    for hit in list(scene.stack.receiver.hits):
        hits.setdefault(json.loads(hit.body)["data"]["id"], []).append(hit)
        if not hit.is_genuine:
            scene.problems.append("a webhook with a wrong signature")
    rows = Counter(job_id for job_id, *_ in scene.tables.deliveries([job.id for job in jobs]))
    for job in jobs:
        verdict.lost += verdict.note("a job end without a webhook", rows[job.id] == 0)
        verdict.doubled += verdict.note("a job end with two webhooks", rows[job.id] > 1)
        came = hits.get(job.id, [])
        kinds = {(hit.webhook_id, hit.body) for hit in came}
        verdict.doubled += verdict.note("two webhook-ids for one job end", len(kinds) > 1)


def wait_delivered(scene: Scene, patience: float) -> list[str]:
    """Waits for the webhooks to good receivers. Returns the jobs whose webhook never arrived."""
    jobs = [job.id for job in scene.jobs if job.webhook_url and "/good/" in job.webhook_url]
    deadline = time.monotonic() + patience
    while True:
        waiting = [job for job, _, state, _ in scene.tables.deliveries(jobs) if state == "pending"]
        if not waiting or time.monotonic() > deadline:
            return waiting
        time.sleep(0.05)
