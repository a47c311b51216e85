"""Keys change under load: the client's own, with an overlap and then revoked, and the one that seals secrets.

Recovery of the client's is the time from the answer to the revocation until the old key is refused. That of the master
key is the time from the last restart until the next settlement and the API's next 2xx; that whatever was sealed under
either key can be opened is seen at the receivers, which verify every webhook.
"""

import time

import httpx

from lengthwise import sealing
from tests.caller import KEY, bearer
from tests.faults.client import FaultClient
from tests.faults.injected.fault import InjectedFault
from tests.faults.scene import Scene
from tests.faults.stack import DELIVER
from tests.servers import MASTER_KEY

#: Promise 12: a key that is revoked is out within this time.
_REVOKED_SECONDS = 1.0
#: As of a server that was away.
_RESTART_BOUND = 10.0
_OVERLAP_SECONDS = 60
#: Requests under the old key after it was first refused.
_TRIES = 5


def _rotated(scene: Scene) -> float:
    """The client goes over to the new key while both work; nothing but the revoked one is ever refused."""
    operator = FaultClient(scene.stack.url)
    try:
        old = operator.post("/v1/keys", {"name": "faults", "scopes": ["submit", "read"]})
        _go_over(scene, old["key"])
        new = operator.post(f"/v1/keys/{old['id']}/rotate", {"overlap_seconds": _OVERLAP_SECONDS})
        scene.until_acknowledged(time.monotonic())
        _go_over(scene, new["key"])
        operator.post(f"/v1/keys/{old['id']}/revoke", {})
        took = scene.until(lambda: not _is_let_in(scene, old["key"]), "a revoked key is refused")
        if any(_is_let_in(scene, old["key"]) for _ in range(_TRIES)):
            scene.problems.append("a revoked key was let in again")
        scene.until_acknowledged(time.monotonic())
        return took
    finally:
        _go_over(scene, KEY)
        scene.problems += operator.complaints
        operator.close()


def _go_over(scene: Scene, key: str) -> None:
    """No request under the key of before is under way when it returns: the load has one at a time."""
    scene.client.use(key)
    for _ in range(2):
        scene.until_acknowledged(time.monotonic())


def _is_let_in(scene: Scene, key: str) -> bool:
    return httpx.get(f"{scene.stack.url}/v1/jobs", params={"limit": 1}, headers=bearer(key)).status_code != 401


def _resealed(scene: Scene) -> float:
    """First every process learns to open what the new key sealed, then the new key seals."""
    new = sealing.new_master_key()
    for keys in (f"{MASTER_KEY},{new}", f"{new},{MASTER_KEY}"):
        for name in ("api", *DELIVER):
            scene.stack.restart(name, LENGTHWISE_MASTER_KEY=keys)
            scene.until_acknowledged(time.monotonic())
    return scene.until_settling(time.monotonic())


FAULTS = (
    InjectedFault("API key rotated and revoked", _rotated, _REVOKED_SECONDS, interrupts=False),
    InjectedFault("master key rotated", _resealed, _RESTART_BOUND, interrupts=False, ends=True),
)
