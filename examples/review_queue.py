"""A review queue fed by webhooks: while a moderation job runs, its flagged comments are filed for people to review.

    python -m examples.review_queue --url http://127.0.0.1:8000 --listen 127.0.0.1:9000 --queue review.ndjson

registers an endpoint for ``job.results`` with the filter ``flagged == true``, listens, and appends a line to the queue
for each flagged comment. It uses the HTTP API as any user would. A webhook may arrive twice, so the queue remembers
webhook-ids and files each webhook once.
"""

import argparse
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from standardwebhooks import Webhook, WebhookVerificationError

_MOST_BYTES = 2 * 2**20


class ReviewQueue:
    """A file with one flagged comment per line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    def file(self, webhook_id: str, event: dict[str, Any]) -> None:
        """Appends the results of a ``job.results`` event. Other events and repeated webhooks change nothing."""
        if event["type"] != "job.results":
            return
        lines = [
            json.dumps({"job": event["data"]["id"], "comment": result.get("id"), "scores": result["output"]["scores"]})
            for result in event["data"]["results"]
        ]
        with self._lock, self._path.open("a") as queue:
            if webhook_id not in self._seen:
                queue.writelines(f"{line}\n" for line in lines)
                self._seen.add(webhook_id)


def server(address: tuple[str, int], secret: list[str], queue: ReviewQueue) -> ThreadingHTTPServer:
    """Verifies each webhook with the first of ``secret``, which may come later; forged ones are answered 400."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers.get("content-length", 0))
            body = self.rfile.read(size) if size <= _MOST_BYTES else b""
            try:
                Webhook(secret[0]).verify(body, dict(self.headers))
            except WebhookVerificationError:
                self.send_response(400)
            else:
                queue.file(self.headers["webhook-id"], json.loads(body))
                self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Logs nothing: the queue is the output."""

    return ThreadingHTTPServer(address, Handler)


def register(client: httpx.Client, url: str) -> str:
    """Registers ``url`` for flagged results. Returns the secret that signs the webhooks."""
    wanted = {"url": url, "events": ["job.results"], "filter": "flagged == true", "description": "review queue"}
    answer = client.post("/v1/webhook-endpoints", json=wanted)
    answer.raise_for_status()
    secret: str = answer.json()["secret"]
    return secret


def main() -> None:
    parser = argparse.ArgumentParser(description="A review queue fed by webhooks.")
    parser.add_argument(
        "--url", default=os.environ.get("LENGTHWISE_URL", "http://127.0.0.1:8000"), help="the URL of the API"
    )
    parser.add_argument("--listen", default="127.0.0.1:9000", help="host and port of the receiver")
    parser.add_argument("--public-url", help="the receiver's URL as the API sees it, if it differs")
    parser.add_argument("--queue", type=Path, default=Path("review.ndjson"), help="the file to append to")
    given = parser.parse_args()
    host, _, port = given.listen.rpartition(":")
    secret: list[str] = []
    key = os.environ.get("LENGTHWISE_API_KEY")
    with server((host, int(port)), secret, ReviewQueue(given.queue)) as receiver:
        bound = f"http://{host}:{receiver.server_port}/hooks"
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        with httpx.Client(base_url=given.url, headers=headers, timeout=60) as client:
            secret.append(register(client, given.public_url or bound))
        print(f"ready: {bound}", flush=True)
        receiver.serve_forever()


if __name__ == "__main__":
    main()
