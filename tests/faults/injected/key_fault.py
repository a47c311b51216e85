"""Keys change under load: the client's API key is rotated and revoked, and the master key is rotated.

For the API key, recovery is the time from the answer to the revocation until the old key is refused. For the master
key, it is the time from the last restart until the next settlement and the API's next 2xx. The receivers verify every
webhook, which shows that secrets sealed under either master key can be opened.
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

#: Seconds in which a revoked key must be refused.
_REVOKED_SECONDS = 1.0
#: The same bound as after a server's absence.
_RESTART_BOUND = 10.0
_OVERLAP_SECONDS = 60
#: Requests with the old key after its first refusal.
_TRIES = 5


def _rotated(scene: Scene) -> float:
    """The client switches to the new key while both work. Only the revoked key may ever be refused."""
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
            scene.problems.append("a revoked key was accepted again")
        scene.until_acknowledged(time.monotonic())
        return took
    finally:
        _go_over(scene, KEY)
        scene.problems += operator.complaints
        operator.close()


def _go_over(scene: Scene, key: str) -> None:
    """Switches to ``key``. The load sends one request at a time, so none with the old key is under way at the end."""
    scene.client.use(key)
    for _ in range(2):
        scene.until_acknowledged(time.monotonic())


def _is_let_in(scene: Scene, key: str) -> bool:
    return httpx.get(f"{scene.stack.url}/v1/jobs", params={"limit": 1}, headers=bearer(key)).status_code != 401


def _resealed(scene: Scene) -> float:
    """First every process gets the new key for opening, then the new key seals."""
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
