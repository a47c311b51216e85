"""Every knob of the system, once: typed, with its unit and reason. Read from ``LENGTHWISE_*`` environment variables."""

import base64
import binascii
import os
import re
from functools import cache
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError
from pydantic.functional_validators import AfterValidator, BeforeValidator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from lengthwise.errors import ConfigurationError
from lengthwise.models.catalog import DEMO_CATALOG
from lengthwise.models.device import DEVICES

Network = IPv4Network | IPv6Network

#: What a secret that an operator chooses has at least: 24 characters drawn by a machine are out of anyone's reach.
_SECRET = re.compile(r"[\x21-\x7e]{24,512}", re.ASCII)


def _comma_separated(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _secret(value: SecretStr) -> SecretStr:
    if not _SECRET.fullmatch(value.get_secret_value()):
        raise ValueError("must have 24 to 512 visible ASCII characters, and no blanks")
    return value


Secret = Annotated[SecretStr, AfterValidator(_secret)]


def _master_key(value: SecretStr) -> SecretStr:
    try:
        is_key = len(base64.b64decode(value.get_secret_value(), validate=True)) == 32
    except (binascii.Error, ValueError):
        is_key = False
    if not is_key:
        raise ValueError("each key is the base64 of 32 bytes")
    return value


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="LENGTHWISE_", env_ignore_empty=True, frozen=True, extra="ignore")

    # Servers. Unset, ``lengthwise up`` starts embedded ones; every other command needs them.
    database_url: str | None = None
    #: The broker: redis://, redis+socket:///PATH?virtual_host=N, or amqp:// (the variable keeps its name).
    redis_url: str | None = None
    #: Connections of one process to Postgres: API threads wait for one rather than overrun the server.
    database_connections: Annotated[int, Field(ge=1)] = 10

    #: Keys under which secrets are stored; the first seals, the others still open what they sealed. ``lengthwise up``
    #: makes one.
    master_key: Annotated[
        tuple[Annotated[SecretStr, AfterValidator(_master_key)], ...], NoDecode, BeforeValidator(_comma_separated)
    ] = ()

    # Models
    models: Path = DEMO_CATALOG
    #: How often the API and the workers look whether ``models`` was changed.
    models_seconds: Annotated[float, Field(gt=0)] = 1
    #: Where a generation worker runs models whose ``device`` is auto; several joined by + share each of them.
    device: Annotated[str, Field(pattern=rf"^(auto|cuda|{DEVICES})$")] = "auto"

    # API
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    #: A JSON body is held in memory: larger jobs are streamed as NDJSON.
    max_json_bytes: Annotated[int, Field(ge=1)] = 16 * 2**20
    #: A body of whatever kind: it is spooled to disk before it is read.
    max_body_bytes: Annotated[int, Field(ge=1)] = 2**30
    #: One line of an NDJSON body.
    max_line_bytes: Annotated[int, Field(ge=1)] = 2**20
    max_items: Annotated[int, Field(ge=1)] = 1_000_000
    #: Characters of one text, before it is cleaned and counted in tokens.
    max_text_characters: Annotated[int, Field(ge=1)] = 100_000
    #: One item's metadata as JSON: it is stored with the item and again with its result.
    max_metadata_bytes: Annotated[int, Field(ge=2)] = 16 * 2**10
    #: One file of the OpenAI surface, and the requests in it.
    max_file_bytes: Annotated[int, Field(ge=1)] = 200 * 2**20
    max_batch_lines: Annotated[int, Field(ge=1)] = 50_000
    #: How long a request of the synchronous door waits for its answer.
    answer_seconds: Annotated[float, Field(gt=0)] = 60
    #: How long past a job's submission its deadline may lie, in seconds.
    max_deadline_seconds: Annotated[int, Field(ge=60)] = 30 * 86_400
    #: Input tokens waiting or running beyond which jobs are refused: some million items, and a queue that is drained
    #: in days rather than months.
    max_pending_tokens: Annotated[int, Field(ge=1)] = 2_000_000_000
    #: The same for one tenant, where its row says nothing else: half, so that one cannot close the door on the others.
    max_tenant_pending_tokens: Annotated[int, Field(ge=1)] = 1_000_000_000
    #: How long after a job's end its texts and results are kept.
    retention_seconds: Annotated[int, Field(ge=1)] = 30 * 86_400

    # Keys and tenants
    #: A key that may do everything, for whoever runs the installation: the one by which the first others are made.
    #: ``lengthwise up`` makes one and keeps it.
    admin_key: Secret | None = None
    #: Mixed into the hash of each key: whoever can write to the database alone makes no key with it. Another pepper
    #: makes every key void. ``lengthwise up`` makes one and keeps it.
    key_pepper: Secret | None = None
    #: Requests that a tenant may make in a minute, where its row says nothing else; unset, as many as it likes.
    max_requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    #: Jobs that a tenant may have open at a time, likewise.
    max_open_jobs: Annotated[int, Field(ge=1)] | None = None

    # Work
    #: Items of like length in one shard: the unit of claim, lease and settlement.
    shard_items: Annotated[int, Field(ge=1, le=4096)] = 64
    #: Items are sorted by length within chunks of this many: what a submission holds in memory.
    chunk_items: Annotated[int, Field(ge=64)] = 10_000
    #: Where batches take milliseconds a claim asks for as many as fit in this time, up to ``claim_batches``: the
    #: longer, the less a claim costs an item; the shorter, the sooner another pool or tenant has its turn.
    claim_seconds: Annotated[float, Field(ge=0)] = 0.05
    claim_batches: Annotated[int, Field(ge=1)] = 16
    #: A batch of few rows waits this long for company, unless it is interactive.
    linger_seconds: Annotated[float, Field(ge=0)] = 0.01
    lease_seconds: Annotated[float, Field(gt=0)] = 30
    heartbeat_seconds: Annotated[float, Field(gt=0)] = 10
    #: A bell's task drains its pool for at most this long, so that acknowledgement stays short.
    slice_seconds: Annotated[float, Field(gt=0)] = 20
    #: A batch that others join takes them in for at most this long: while it ends its rows grow few, and until it has
    #: ended its bell is not acknowledged.
    open_seconds: Annotated[float, Field(gt=0)] = 60
    #: A bell's task turns to another pool that waits after this long, if its model is loaded.
    turn_seconds: Annotated[float, Field(gt=0)] = 1
    #: How often a shard is tried whose model cannot be loaded, before its items end as errors.
    max_attempts: Annotated[int, Field(ge=1)] = 5
    #: How many workers must have died over a single item before it is held to be the cause.
    max_deaths: Annotated[int, Field(ge=1)] = 3
    #: An engine that completed nothing for this long is hung: its process is killed and replaced.
    hang_seconds: Annotated[float, Field(gt=0)] = 300
    #: Expired leases are noticed at most this late.
    sweep_seconds: Annotated[float, Field(gt=0)] = 1
    #: SIGTERM: what a worker may still use to finish the batch in hand.
    grace_seconds: Annotated[float, Field(gt=0)] = 25
    #: Models that one worker keeps loaded; the one used longest ago makes room.
    loaded_models: Annotated[int, Field(ge=1)] = 2
    #: How far generation steps back behind the API and the database of the same machine: 0 not at all, 19 is the most.
    niceness: Annotated[int, Field(ge=0, le=19)] = 10
    #: Threads of torch in one worker; 0 leaves it to torch.
    threads: Annotated[int, Field(ge=0)] = 0

    # Webhooks
    #: Networks that webhooks may reach although they are not public: a receiver of one's own, say 10.1.2.0/24.
    webhook_allowed_networks: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_comma_separated)] = ()
    webhook_timeout_seconds: Annotated[float, Field(gt=0)] = 15
    #: Attempts at once in one delivery worker, a thread each: they wait for sockets.
    webhook_concurrency: Annotated[int, Field(ge=1)] = 64
    #: Attempts at once at one receiver, over all workers: one that is slow leaves room for the others.
    webhook_receiver_concurrency: Annotated[int, Field(ge=1)] = 8
    #: An endpoint at which every attempt has failed for this long is disabled.
    webhook_failing_seconds: Annotated[float, Field(gt=0)] = 5 * 86_400
    #: Endpoints of one tenant: each is looked at whenever one of its jobs ends.
    max_webhook_endpoints: Annotated[int, Field(ge=1)] = 50

    def require_database_url(self) -> str:
        """The database's URL. Raises ``ConfigurationError`` if none is set."""
        if self.database_url is None:
            raise ConfigurationError(
                "LENGTHWISE_DATABASE_URL is not set, such as postgresql://user:password@host/lengthwise"
            )
        return self.database_url

    def require_redis_url(self) -> str:
        """The broker's URL. Raises ``ConfigurationError`` if none is set."""
        if self.redis_url is None:
            raise ConfigurationError("LENGTHWISE_REDIS_URL is not set, such as redis://host:6379/0")
        return self.redis_url

    def require_key_pepper(self) -> str:
        """What the hashes of keys are made with. Raises ``ConfigurationError`` if none is set."""
        if self.key_pepper is None:
            raise ConfigurationError("LENGTHWISE_KEY_PEPPER is not set, such as the output of openssl rand -hex 32")
        return self.key_pepper.get_secret_value()

    def limit_threads(self) -> None:
        """Tells torch its threads; without effect once it is imported, or where ``OMP_NUM_THREADS`` says otherwise."""
        if self.threads:
            os.environ.setdefault("OMP_NUM_THREADS", str(self.threads))


@cache
def get() -> Settings:
    """The settings of this process. Raises ``ConfigurationError`` naming the variable that is wrong, not its value."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigurationError(f"LENGTHWISE_{str(first['loc'][0]).upper()}: {first['msg']}") from None
