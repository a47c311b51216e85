"""The incidents: what each breaks, who should say so, and what mends it."""

import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from threading import Event, Thread
from typing import ClassVar

import httpx

from tests.faults.receiver import SECRET
from tests.rehearsal.asked import Asked, line, no_line
from tests.rehearsal.installation import RehearsedInstallation
from tests.rehearsal.witness import Statement, Witness
from tests.servers import wait_until

#: Why some alerts go on after all is mended.
_QUARTER = "15 minutes after the last lease expired, by design"


class Incident(ABC):
    """One thing that breaks."""

    name: ClassVar[str]
    title: ClassVar[str]
    #: How long the witnesses may take to say it, and to be well again.
    patience: float = 240.0
    #: Whether it runs beside all others, because nothing that they break concerns it.
    runs_beside: ClassVar[bool] = False

    def __init__(self, installation: RehearsedInstallation, *, is_patient: bool = False) -> None:
        self.installation = installation
        self.asked = Asked(installation)
        #: Whether alerts that come late by design are waited for.
        self.is_patient = is_patient
        self.job = ""

    def prepare(self) -> None:  # noqa: B027 - some need nothing
        """Makes the work that the incident hits."""

    @abstractmethod
    def begin(self) -> None:
        """Breaks it."""

    @abstractmethod
    def witnesses(self) -> list[Witness]:
        """Those who should tell of it."""

    def silent(self) -> Sequence[Statement]:
        """Those who do not tell of it by design, or not within this rehearsal."""
        return ()

    @abstractmethod
    def mend(self) -> None:
        """Mends it."""

    @abstractmethod
    def wait_whole(self) -> str:
        """Waits until the work is done. Returns what became of it; fails unless each item has its answer."""


class FrozenWorker(Incident):
    name = "freeze"
    title = "the only generation worker is frozen (SIGSTOP) while a job runs"
    _ITEMS = 12_000

    def prepare(self) -> None:
        self.job = self.installation.must_submit("steady", self._ITEMS)
        wait_until(lambda: self.installation.job(self.job)["counts"]["succeeded"] > 0)

    def begin(self) -> None:
        self._signal(signal.SIGSTOP)

    def mend(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        """Sends a signal to the worker and to its child, which computes."""
        pid = self.installation.worker.pid
        assert pid is not None
        os.killpg(pid, number)

    def witnesses(self) -> list[Witness]:
        asked = self.asked
        return [
            asked.overview(line("no generation worker is alive")),
            asked.job_page(lambda: self.job, line("is silent")),
            asked.status(lambda: self.job, line("is silent")),
            asked.workers(line(r"^generate .* lost ")),
            asked.readyz(line("no generation worker is alive")),
            asked.metrics(0, line(r'^lengthwise_workers\{role="generate",state="lost"\} [1-9]')),
            *asked.alert("LengthwiseNoWorker"),
            *asked.alert("LengthwiseProcessGone"),
            *asked.alert("LengthwiseLeasesExpiring", lasts=_QUARTER)[1:],
        ]

    def wait_whole(self) -> str:
        self.installation.wait_whole(self.job, 240)
        return f"the job ended with all {self._ITEMS:,} items"


class StoppedDelivery(Incident):
    name = "deliver"
    title = "the delivery worker is stopped (SIGTERM) while a webhook waits"
    _ITEMS = 3_000

    def __init__(self, installation: RehearsedInstallation, *, is_patient: bool = False) -> None:
        super().__init__(installation, is_patient=is_patient)
        if is_patient:
            self.patience = 480.0

    def prepare(self) -> None:
        webhook = {"url": self.installation.receiver.url("good", "rehearsal"), "secret": SECRET}
        self.job = self.installation.must_submit("steady", self._ITEMS, webhook=webhook)

    def begin(self) -> None:
        self.installation.deliver.ask_to_stop()

    def witnesses(self) -> list[Witness]:
        asked = self.asked
        late = asked.alert("LengthwiseWebhooksStuck") if self.is_patient else []
        return [
            asked.overview(line("no delivery worker is alive")),
            asked.job_page(lambda: self.job, line("no delivery worker is alive")),
            asked.status(lambda: self.job, line("no delivery worker is alive")),
            asked.workers(
                no_line(
                    r"^deliver .* (starting|idle|working) ", "(no delivery worker that is starting, idle or working)"
                )
            ),
            asked.readyz(line("no delivery worker is alive")),
            asked.metrics(0, line(r"^lengthwise_webhook_oldest_seconds (?!0(\.0+)?$)")),
            *asked.alert("LengthwiseNoDelivery"),
            *asked.alert("LengthwiseProcessGone"),
            *late,
        ]

    def silent(self) -> Sequence[Statement]:
        if self.is_patient:
            return ()
        late = "after six minutes, by design; not waited for here (`--patient`)"
        return [Statement("alert LengthwiseWebhooksStuck, firing", note=late)]

    def mend(self) -> None:
        wait_until(lambda: not self.installation.deliver.is_running, 60)
        self.installation.deliver.start()

    def wait_whole(self) -> str:
        self.installation.wait_whole(self.job, 120)
        hits = self.installation.receiver.hits
        wait_until(lambda: any(hit.path.endswith("/rehearsal") for hit in hits), 60)
        ids = {hit.webhook_id for hit in hits if hit.path.endswith("/rehearsal")}
        assert all(hit.is_genuine for hit in hits), "a webhook had no valid signature"
        assert len(ids) == 1, "the receiver saw several events"
        return f"the job ended with all {self._ITEMS:,} items, and the receiver has its webhook"


class BrokenModel(Incident):
    name = "model"
    title = "half of config.json is missing in a model's folder, and a job waits for the model"
    _ITEMS = 500

    def begin(self) -> None:
        self._file = self.installation.models / "fragile" / "config.json"
        self._kept = self._file.read_bytes()
        self._file.write_bytes(self._kept[: len(self._kept) // 2])
        self.job = self.installation.must_submit("fragile", self._ITEMS)
        self._urgent = self.installation.must_submit("fragile", 1, priority="interactive")

    def witnesses(self) -> list[Witness]:
        asked = self.asked
        return [
            Witness(
                "result of an interactive item",
                self._codes,
                line("model_unavailable"),
                lasts="a caller who waits gets an error and asks again",
            ),
            asked.overview(line(r"^fragile: |could not be loaded")),
            asked.job_page(lambda: self.job, line("could load the model fragile")),
            asked.status(lambda: self.job, line("could load the model fragile")),
            asked.workers(line("model fragile could not be loaded")),
            asked.readyz(line("could not be loaded by any worker")),
            asked.metrics(1, line(r'^lengthwise_model_failed\{model="fragile"\} 1')),
            *asked.alert("LengthwiseModelNotLoaded"),
        ]

    def _codes(self) -> list[str]:
        found = (each.get("error") for each in self.installation.results(self._urgent))
        return [f"{error['code']}: {error['message']}" for error in found if error]

    def mend(self) -> None:
        self._file.write_bytes(self._kept)

    def wait_whole(self) -> str:
        self.installation.wait_whole(self.job, 240)
        return f"the job ended with all {self._ITEMS} items"


class FullQuota(Incident):
    name = "quota"
    title = "a tenant submits until its quota of open jobs is full, and goes on"
    #: The alert needs six minutes of refusals, and ends five minutes after the last one.
    patience = 480.0
    runs_beside = True
    _ITEMS, _JOBS = 1_280, 3
    _PAUSE_SECONDS = 2.0

    def prepare(self) -> None:
        client = self.installation.client
        made = client.post("/v1/tenants", json={"name": "rehearsal", "max_open_jobs": self._JOBS}).raise_for_status()
        self._tenant = made.json()["id"]
        wanted = {"name": "rehearsal", "scopes": ["submit", "read"], "tenant": self._tenant}
        self._key = client.post("/v1/keys", json=wanted).raise_for_status().json()["key"]
        self._accepted: list[str] = []
        self._last = ""
        self._is_over = Event()
        self._thread = Thread(target=self._submit, daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def _submit(self) -> None:
        """Submits job after job. A refusal is followed by a pause, though a shorter one than the answer asks for."""
        while not self._is_over.is_set():
            try:
                answer = self.installation.submit("slow", self._ITEMS, self._key)
            except httpx.HTTPError as error:
                self._last = type(error).__name__
                continue
            if answer.status_code == httpx.codes.ACCEPTED:
                self._accepted.append(answer.json()["id"])
                self._last = f"{answer.status_code}"
            else:
                wait = answer.headers.get("retry-after")
                self._last = f"{answer.status_code} {answer.json().get('detail')}; Retry-After: {wait}"
                self._is_over.wait(self._PAUSE_SECONDS)

    def witnesses(self) -> list[Witness]:
        series = r'^lengthwise_http_requests_total\{method="POST",route="/v1/jobs",status="429"\} '
        full = f"{self._JOBS} of {self._JOBS} open jobs; new jobs are refused"
        late = "five minutes after the last refusal, by design"
        return [
            Witness("the refused caller", lambda: [self._last], line("^429 ")),
            self.asked.overview(line(f"^Limit reached by rehearsal: {full}")),
            self.asked.tenants(line(f"^rehearsal: {full}")),
            self.asked.limits(lambda: self._key, line(f"^limit reached: {full}")),
            self.asked.metrics(0, line(series), lasts="a counter, which stays"),
            *self.asked.alert("LengthwiseCallersRefused", lasts=None if self.is_patient else late),
        ]

    def silent(self) -> Sequence[Statement]:
        note = "nothing, by design: a refused job does not exist, and the installation works"
        return [Statement("`status`, `workers`, `/readyz`", note=note)]

    def mend(self) -> None:
        """Raises the limit, and submits no more once a job was accepted."""
        before = len(self._accepted)
        self.installation.command("tenants", "set", self._tenant, "--max-open-jobs", "1000")
        began_at = time.monotonic()
        while len(self._accepted) == before and time.monotonic() - began_at < 30:
            time.sleep(0.05)
        self._is_over.set()
        self._thread.join()

    def wait_whole(self) -> str:
        for job in self._accepted:
            self.installation.wait_whole(job, 300, self._key)
        return f"all {len(self._accepted)} accepted jobs ended with all {self._ITEMS:,} items each"


#: In the order in which they run.
INCIDENTS: tuple[type[Incident], ...] = (FrozenWorker, BrokenModel, StoppedDelivery, FullQuota)
