"""Runs the demonstration: ``python -m examples.demo``. The last line printed is one JSON object."""

import argparse
import base64
import json
import secrets
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from examples.demo import report, stack
from examples.demo.receiver import WebhookReceiver

EXAMPLES = Path(__file__).parents[1]

#: Texts that everybody can check. The table shows them first.
SHOWN = ("我吃了一个苹果。", "I ate an apple.")

Item = dict[str, Any]


def read(name: str, **languages: str) -> list[Item]:
    lines = (EXAMPLES / name).read_bytes().splitlines()
    return [json.loads(line) | languages for line in lines]


def submit(client: httpx.Client, header: dict[str, Any], items: list[Item]) -> str:
    """Streams a job as NDJSON: a header line, then one line per item. Returns the job's id."""

    def body() -> Iterator[bytes]:
        for line in [header, *items]:
            yield json.dumps(line).encode() + b"\n"

    answer = client.post("/v1/jobs", content=body(), headers={"content-type": "application/x-ndjson"})
    answer.raise_for_status()
    job_id: str = answer.json()["id"]
    return job_id


def follow(client: httpx.Client, console: Console, jobs: dict[str, str]) -> list[dict[str, Any]]:
    """Shows a progress bar for each job until all have ended."""
    columns = (TextColumn("{task.description:>10}"), BarColumn(40), MofNCompleteColumn(), TaskProgressColumn())
    with Progress(*columns, TimeElapsedColumn(), TextColumn("{task.fields[rate]}"), console=console) as progress:
        bars = {job_id: progress.add_task(name, total=None, rate="") for name, job_id in jobs.items()}
        while True:
            found = [client.get(f"/v1/jobs/{job_id}").raise_for_status().json() for job_id in bars]
            for job in found:
                counts = job["counts"]
                done = counts["total"] - counts["pending"]
                rate = f"{job['items_per_second']:.0f} items/s"
                progress.update(bars[job["id"]], total=counts["total"], completed=done, rate=rate)
            if all(job["finished_at"] for job in found):
                return found
            time.sleep(0.1)


def results(client: httpx.Client, job_id: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in client.get(f"/v1/jobs/{job_id}/results").iter_lines()]


def spread(rows: list[dict[str, Any]], sources: dict[str, str], count: int) -> list[dict[str, Any]]:
    """Selects rows of all lengths that fit into a table. The texts of ``SHOWN`` come first."""
    rows = [row for row in rows if "output" in row]
    known = [row for row in rows if sources[row["id"]] in SHOWN]
    rest = [row for row in rows if row not in known and len(sources[row["id"]]) < 90]
    return known + sorted(rest[:: max(1, len(rest) // count)], key=lambda row: len(sources[row["id"]]))


def await_events(receiver: WebhookReceiver, count: int, seconds: float = 30) -> list[dict[str, Any]]:
    ends_at = time.monotonic() + seconds
    while len(receiver.events) < count and time.monotonic() < ends_at:
        time.sleep(0.05)
    return receiver.events


def main() -> None:
    parser = argparse.ArgumentParser(description="Runs two bulk jobs through a complete installation on this machine.")
    parser.add_argument("--data", type=Path, default=Path(".lengthwise/demo"), help="where the servers keep their data")
    data = parser.parse_args().data
    # On SIGTERM, leave normally, so that every child process is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    console = Console() if sys.stdout.isatty() else Console(width=120)
    texts = read("translate.ndjson", source="zh", target="en")
    texts += read("translate-en-de.ndjson", source="en", target="de")
    comments = read("moderate.ndjson")
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    console.print(f"[bold]lengthwise[/]: {len(texts)} texts to translate, {len(comments)} comments to moderate")
    with (
        stack.running(data) as (url, key),
        WebhookReceiver(secret) as receiver,
        httpx.Client(base_url=url, timeout=60, headers={"Authorization": f"Bearer {key}"}) as client,
    ):
        console.print(f"ready at {url}")
        webhook = {"url": receiver.url, "secret": secret}
        began = time.monotonic()
        jobs = {
            "translate": submit(client, {"kind": "translate", "webhook": webhook}, texts),
            "moderate": submit(client, {"kind": "moderate", "webhook": webhook}, comments),
        }
        ended = follow(client, console, jobs)
        seconds = time.monotonic() - began
        translated, moderated = (results(client, job_id) for job_id in jobs.values())
        events = await_events(receiver, len(jobs))
    sources = {item["id"]: item["text"] for item in texts}
    report.translations(console, sources, spread(translated, sources, 10))
    comment_of = {item["id"]: item["text"] for item in comments}
    report.moderations(console, comment_of, spread(moderated, comment_of, 8))
    report.figures(console, ended)
    report.webhooks(console, events)
    samples = {sources[row["id"]]: row["output"]["text"] for row in spread(translated, sources, 4)}
    print(json.dumps(summary(ended, seconds, len(events)) | {"samples": samples}, ensure_ascii=False))
    failed = sum(job["counts"]["failed"] for job in ended)
    raise SystemExit(0 if failed == 0 and len(events) == len(jobs) else 1)


def summary(jobs: list[dict[str, Any]], seconds: float, webhooks: int) -> dict[str, Any]:
    items = sum(job["counts"]["total"] for job in jobs)

    def share(name: str) -> float:
        """Returns the padding of both jobs divided by all tokens that the engine computed for them."""
        useful: list[int] = [job["usage"]["input_tokens"] for job in jobs]
        shares: list[float] = [job["engine"][name] for job in jobs]
        padded = sum(tokens / (1 - share) for tokens, share in zip(useful, shares, strict=True))
        return round(1 - sum(useful) / padded, 4)

    return {
        "jobs": len(jobs),
        "items": items,
        "failed": sum(job["counts"]["failed"] for job in jobs),
        "items_per_second": round(items / seconds, 1),
        "padding_share": share("padding_share"),
        "padding_share_arrival_order": share("padding_share_arrival_order"),
        "webhooks_verified": webhooks,
    }


if __name__ == "__main__":
    main()
