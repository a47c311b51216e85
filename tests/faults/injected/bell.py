"""Bells that the harness puts on the broker by itself, good ones and others."""

import base64
import json
from typing import Any
from uuid import uuid4


def message(name: str, task: str | None = None, arguments: list[Any] | None = None, **instead: Any) -> dict[str, Any]:
    """Builds a message as kombu writes it, with some parts replaced."""
    identity = str(uuid4())
    body = json.dumps([arguments or [], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    made: dict[str, Any] = {
        "body": base64.b64encode(body.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": task or name, "id": identity, "root_id": identity, "argsrepr": "()"},
        "properties": {
            "correlation_id": identity,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": name},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid4()),
        },
    }
    return made | instead
