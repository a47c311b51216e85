"""Every setting of the system, with its type, unit and reason. Read from ``LENGTHWISE_*`` environment variables."""

import base64
import binascii
import ipaddress
import math
import os
import re
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo
from pydantic.functional_validators import AfterValidator, BeforeValidator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from lengthwise.errors import ConfigurationError
from lengthwise.models.catalog import DEMO_CATALOG
from lengthwise.models.device import DEVICES
from lengthwise.webhooks.reserved import Network

#: The secrets that docker-compose.yml uses by default, so that a first try needs none. Everybody knows them.
PUBLISHED_SECRETS = {
    "admin_key": "lengthwise-local-development",
    "key_pepper": "local-development-pepper-not-secret",
    "master_key": "bG9jYWwgZGV2ZWxvcG1lbnQga2V5LCBub3Qgc2VjcmU=",
}
#: Beyond these, Postgres, the kernel or Python cannot compute with a number: it would fail in each request and batch.
_LONGEST_SECONDS = 1_000_000_000  # 31 years
_MOST = 2**31 - 1
_MOST_BYTES = 2**53
#: A statement's time-out in Postgres has at most 2**31 - 1 milliseconds.
_LONGEST_WAIT_SECONDS = 1_000_000

Seconds = Annotated[float, Field(gt=0, le=_LONGEST_WAIT_SECONDS)]
Pause = Annotated[float, Field(ge=0, le=_LONGEST_WAIT_SECONDS)]

#: Only its beginning is checked here: SQLAlchemy reads passwords that other libraries take for a path.
_DATABASE_URL = re.compile(r"postgres(ql)?(\+psycopg)?://")
_BROKERS = ("redis", "rediss", "redis+socket", "amqp", "amqps", "pyamqp")
#: The form of a secret that an operator sets. 24 random characters cannot be guessed.
_SECRET = re.compile(r"[\x21-\x7e]{24,512}", re.ASCII)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _database_url(value: str) -> str:
    if not _DATABASE_URL.match(value):
        raise ValueError("must be a URL such as postgresql://user:password@host/lengthwise")
    return value


def _broker_url(value: str) -> str:
    """Checks what kombu would take for the name of a RabbitMQ, or find wrong only at each attempt to connect."""
    try:
        parts = urlsplit(value)
        is_url = parts.scheme in _BROKERS and "://" in value and parts.port != 0
    except ValueError:  # of the port, or an IPv6 address
        is_url = False
    if not is_url:
        raise ValueError("must be a URL such as redis://host:6379/0 or amqp://user:password@host")
    # kombu takes // for the first one.
    number = parts.path.lstrip("/") if parts.scheme in ("redis", "rediss") else "0"
    if parts.scheme == "redis+socket":
        number = parse_qs(parts.query).get("virtual_host", ["0"])[0]
    if not re.fullmatch(r"[0-9]{0,9}", number, re.ASCII):
        raise ValueError("a Redis has numbers of databases: redis://host:6379/0 or redis+socket:///PATH?virtual_host=0")
    return value


def _before_the_lease_ends(value: float, info: ValidationInfo) -> float:
    if value >= info.data.get("lease_seconds", math.inf):
        raise ValueError("must be less than LENGTHWISE_LEASE_SECONDS, or workers lose what they work on")
    return value


DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
BrokerUrl = Annotated[str, AfterValidator(_broker_url)]


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


MasterKeys = Annotated[tuple[Annotated[SecretStr, AfterValidator(_master_key)], ...], BeforeValidator(_comma_separated)]


class Settings(BaseSettings):
    """The settings of a process. Each field is an environment variable in upper case, after ``LENGTHWISE_``."""

    model_config = SettingsConfigDict(env_prefix="LENGTHWISE_", env_ignore_empty=True, frozen=True, extra="ignore")

    # Servers. If they are not set, ``lengthwise up`` starts embedded ones. Every other command needs them.
    database_url: DatabaseUrl | None = None
    #: The same database without a connection pooler before it: for migrations, and for the notifications of jobs' ends.
    #: Without it, the API asks for jobs' ends. Only needed if ``database_url`` is that of a pooler.
    database_session_url: DatabaseUrl | None = None
    #: The broker: redis://, redis+socket:///PATH?virtual_host=N, or in spite of the name amqp://.
    redis_url: BrokerUrl | None = None
    #: Connections of one process to Postgres. API threads wait for one, so that they do not overload the server.
    database_connections: Annotated[int, Field(ge=1, le=10_000)] = 10
    #: How long Postgres may run one statement. Cancelling a job of a million items on a busy machine is the longest.
    database_statement_seconds: Seconds = 300
    #: How long a statement may wait for a lock. Callers get an answer within five seconds while a table is locked.
    database_lock_seconds: Seconds = 3

    #: Master keys under which secrets are sealed. The first one seals, and all of them open. ``lengthwise up`` makes
    #: one.
    master_key: Annotated[MasterKeys, NoDecode] = ()

    # Models
    models: Path = DEMO_CATALOG
    #: How often the API and the workers check whether the file ``models`` has changed.
    models_seconds: Seconds = 1
    #: Whether generation workers run on the API's machine, in its environment. Then jobs for a model whose engine or
    #: weights are not there are refused. ``lengthwise up`` sets it.
    has_local_workers: bool = False
    #: Where a generation worker runs models whose ``device`` is auto. Several devices joined by + share each model.
    device: Annotated[str, Field(pattern=rf"^(auto|cuda|{DEVICES})$")] = "auto"

    # API
    host: str = "127.0.0.1"
    #: The address under which others reach the API, if it is not ``host``, as in a container. The secrets that
    #: docker-compose.yml publishes are accepted only if this is an address of this machine alone.
    published_on: str | None = None
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    #: Connections of one API process. Beyond it, the one that has been idle longest makes room.
    max_connections: Annotated[int, Field(ge=1, le=_MOST)] = 1000
    #: The same of one IPv4 address, or of one /64 of IPv6. Many callers may share an address behind a NAT.
    max_connections_per_address: Annotated[int, Field(ge=1, le=_MOST)] = 100
    #: Reverse proxies, whose connections are limited in total only: they carry the requests of many callers.
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_comma_separated)] = (
        ip_network("127.0.0.0/8"),
        ip_network("::1/128"),
    )
    #: How long the headers of a request may take, from the connection or the previous answer.
    header_seconds: Seconds = 15
    #: Within this time at least 16 KiB of a body must arrive, or its end. Time in which we do not read is not counted.
    body_seconds: Seconds = 30
    #: Within this time a caller must read at least 16 KiB of an answer. Clients pause while they use what they read.
    download_seconds: Seconds = 120
    #: A JSON body is held in memory. Larger jobs are streamed as NDJSON.
    max_json_bytes: Annotated[int, Field(ge=1, le=_MOST_BYTES)] = 16 * 2**20
    #: A body of any kind. It is written to a temporary file before it is read.
    max_body_bytes: Annotated[int, Field(ge=1, le=_MOST_BYTES)] = 2**30
    #: All bodies, as they were sent, that one API process holds on disk at a time. One tenant may take half of it, but
    #: always enough for one body.
    max_spooled_bytes: Annotated[int, Field(ge=2**20, le=_MOST_BYTES)] = 8 * 2**30
    #: One line of an NDJSON body.
    max_line_bytes: Annotated[int, Field(ge=1, le=_MOST_BYTES)] = 2**20
    max_items: Annotated[int, Field(ge=1, le=_MOST)] = 1_000_000
    #: Columns of a table. A struct's fields count one by one. Results as Parquet need memory for each.
    max_columns: Annotated[int, Field(ge=1, le=_MOST)] = 2_000
    #: CPU time for reading one Parquet file, which may be small and stand for much. A million rows take some seconds.
    parquet_seconds: Seconds = 60
    #: The most memory that reading one Parquet file may need, beyond the 75 MiB of a process that reads any.
    #: Short texts need 20 MiB. pyarrow puts 1,024 values into a page, however long they are: 100 MB and more.
    parquet_memory_bytes: Annotated[int, Field(ge=2**26, le=_MOST_BYTES)] = 2**28
    #: CPU time for measuring and compiling all JSON schemas of one file of OpenAI's API. An ordinary one takes 0.5 ms.
    schema_seconds: Seconds = 60
    #: Characters of one text, before it is cleaned and its tokens are counted.
    max_text_characters: Annotated[int, Field(ge=1, le=_MOST)] = 100_000
    #: Decimal places of the scores in results that are downloaded. If it is not set, they are shown as the model gave
    #: them. Stored scores are never rounded.
    score_digits: Annotated[int, Field(ge=0, le=9)] | None = None
    #: One item's metadata as JSON. It is stored twice, with the item and with its result.
    max_metadata_bytes: Annotated[int, Field(ge=2, le=_MOST_BYTES)] = 16 * 2**10
    #: One file of the OpenAI-compatible surface, and the requests in it.
    max_file_bytes: Annotated[int, Field(ge=1, le=_MOST_BYTES)] = 200 * 2**20
    max_batch_lines: Annotated[int, Field(ge=1, le=_MOST)] = 50_000
    #: How long a request to one of the synchronous endpoints waits for its answer.
    answer_seconds: Seconds = 60
    #: How long after its submission a job's deadline may be.
    max_deadline_seconds: Annotated[int, Field(ge=60, le=_LONGEST_SECONDS)] = 30 * 86_400
    #: While so many input tokens wait or run, jobs are refused. They are some million items: a queue that takes days to
    #: process rather than months.
    max_pending_tokens: Annotated[int, Field(ge=1, le=_MOST_BYTES)] = 2_000_000_000
    #: The same for one tenant, unless its row has a limit. It is half of the above, so that one tenant cannot block the
    #: others.
    max_tenant_pending_tokens: Annotated[int, Field(ge=1, le=_MOST_BYTES)] = 1_000_000_000
    #: How long a job's texts and results are kept after its end.
    retention_seconds: Annotated[int, Field(ge=1, le=_LONGEST_SECONDS)] = 30 * 86_400

    # Metrics
    #: The address on which each process serves its metrics. Nothing there asks for a key.
    metrics_host: str = "127.0.0.1"
    #: The port; 0 serves none. Further processes that one command starts have the ports after it.
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    #: Whether items and tokens are counted for each tenant. Each tenant is some series more.
    metrics_tenants: bool = False

    # Keys and tenants
    #: A key that may do everything, for the operator of the installation, who makes the first other keys with it.
    #: ``lengthwise up`` makes one and stores it.
    admin_key: Secret | None = None
    #: Part of the hash of each key, so that someone who can only write to the database cannot make a key. With another
    #: pepper no key is valid any more. ``lengthwise up`` makes one and stores it.
    key_pepper: Secret | None = None
    #: Requests that a tenant may make in a minute, unless its row has a limit. If it is not set, there is no limit.
    max_requests_per_minute: Annotated[int, Field(ge=1, le=_MOST)] | None = None
    #: Jobs that a tenant may have open at a time, unless its row has a limit. If it is not set, there is no limit.
    max_open_jobs: Annotated[int, Field(ge=1, le=_MOST)] | None = None

    # Work
    #: Items of like length in one shard, which is claimed, leased and settled as a whole.
    shard_items: Annotated[int, Field(ge=1, le=4096)] = 64
    #: Items are sorted by length within chunks of this many. A submission holds one chunk in memory.
    chunk_items: Annotated[int, Field(ge=64, le=_MOST)] = 10_000
    #: A chunk whose items have more bytes is sorted and written in parts of this size.
    chunk_bytes: Annotated[int, Field(ge=2**10, le=_MOST_BYTES)] = 16 * 2**20
    #: A job of about so many items has tables of its own, if any are free: deleting them costs next to nothing. There
    #: are 32 such pairs of tables, each held until its job is deleted, so they are for jobs that are costly to delete.
    large_job_items: Annotated[int, Field(ge=1, le=_MOST)] = 100_000
    #: If batches take milliseconds, one claim takes as many as fit in this time, at most ``claim_batches``. With a
    #: longer time claiming costs less per item; with a shorter one other pools and tenants are served sooner.
    claim_seconds: Pause = 0.05
    claim_batches: Annotated[int, Field(ge=1, le=_MOST)] = 16
    #: A batch of few rows waits this long for more, unless it is interactive.
    linger_seconds: Pause = 0.01
    #: After this long without a heartbeat, a worker's shards are given to others.
    lease_seconds: Seconds = 30
    #: How often a worker renews its leases.
    heartbeat_seconds: Annotated[Seconds, AfterValidator(_before_the_lease_ends), Field(validate_default=True)] = 10
    #: A bell's task works on its pool for at most this long, so that bells are acknowledged soon.
    slice_seconds: Seconds = 20
    #: A continuous batch admits new requests for at most this long, and then runs to its end with fewer and fewer rows.
    #: With a longer time, that happens less often. With a shorter time, bells are acknowledged sooner: a bell waits for
    #: the batch's end.
    continuous_batch_seconds: Seconds = 60
    #: After this long a bell's task goes to another pool that waits, if that pool's model is loaded.
    turn_seconds: Seconds = 1
    #: About how long items wait for a model that no worker can load, so that an operator can mend its folder. Then they
    #: end as errors. At most two weeks, so that a shard's tries can be counted.
    model_wait_seconds: Annotated[float, Field(ge=0, le=14 * 86_400)] = 900
    #: How many workers must die over a single item before the item is taken to be the cause.
    max_deaths: Annotated[int, Field(ge=1, le=_MOST)] = 3
    #: A worker that has finished no step for this long counts as hung: no batch, no prompts, no results. Its process is
    #: killed and replaced. Loading a model may take six times as long.
    hang_seconds: Seconds = 300
    #: The same if no Python has run in it for this long, because a library holds the interpreter. By then it has lost
    #: its leases.
    stall_seconds: Seconds = 60
    #: How often a worker reports that it is there, and what it does. After three of these it counts as lost, which must
    #: be within 30 seconds.
    presence_seconds: Annotated[float, Field(gt=0, le=10)] = 5
    #: How often the sweep looks for expired leases, deadlines and lost bells.
    sweep_seconds: Seconds = 1
    #: How long after SIGTERM a worker may take to finish its current batch.
    grace_seconds: Seconds = 25
    #: Models that one worker keeps loaded. The least recently used one is unloaded for another.
    loaded_models: Annotated[int, Field(ge=1, le=_MOST)] = 2
    #: How far generation yields the CPU to all else on the same machine: 0 is not at all, 19 the most. At 10 one busy
    #: process leaves it a tenth of a core, and eight leave it a hundredth.
    niceness: Annotated[int, Field(ge=0, le=19)] = 0
    #: Threads of torch in one worker. With 0 torch decides.
    threads: Annotated[int, Field(ge=0, le=1024)] = 0

    # Scaling: how many generation workers an autoscaler is told to run. The API answers it on its metrics port.
    #: Input tokens a second of one worker, until one has been measured under load since the API started.
    scaling_tokens_per_second: Annotated[float, Field(gt=0, le=_MOST)] = 1000
    #: How long after its submission work without a deadline should be done.
    scaling_drain_seconds: Seconds = 900
    #: From the decision until a new worker computes: its machine, its image, its models.
    scaling_start_seconds: Pause = 120
    #: How long fewer workers must be enough before there are fewer. With a shorter time they start and stop more often.
    scaling_settle_seconds: Pause = 300
    scaling_min_workers: Annotated[int, Field(ge=0, le=_MOST)] = 0
    scaling_max_workers: Annotated[int, Field(ge=0, le=_MOST)] = 10

    # Webhooks
    #: Networks that webhooks may reach although they are not public, such as 10.1.2.0/24 for one's own receivers.
    webhook_allowed_networks: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_comma_separated)] = ()
    #: How long a request that names a webhook waits for the addresses of its host. Without an answer it is taken, since
    #: each delivery checks the host again.
    webhook_lookup_seconds: Pause = 1
    #: One attempt, from the look-up of the name to the answer.
    webhook_timeout_seconds: Seconds = 15
    #: Concurrent attempts of one delivery worker. Each has a thread, which mostly waits for its socket.
    webhook_concurrency: Annotated[int, Field(ge=1, le=10_000)] = 64
    #: Concurrent attempts at one receiver, over all workers, so that a slow receiver does not hold up the others.
    webhook_receiver_concurrency: Annotated[int, Field(ge=1, le=_MOST)] = 8
    #: An endpoint at which every attempt has failed for this long is disabled.
    webhook_failing_seconds: Annotated[float, Field(gt=0, le=_LONGEST_SECONDS)] = 5 * 86_400
    #: Webhook endpoints of one tenant. All of them are read whenever one of its jobs ends.
    max_webhook_endpoints: Annotated[int, Field(ge=1, le=_MOST)] = 50

    # Logs
    #: How each line of a log is written: for people, or as one JSON object.
    log_format: Literal["console", "json"] = "console"
    #: The least urgent lines that are written. Libraries never log below INFO, because they would log what is sent.
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

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
        """The pepper in the hashes of keys. Raises ``ConfigurationError`` if none is set."""
        if self.key_pepper is None:
            raise ConfigurationError("LENGTHWISE_KEY_PEPPER is not set, such as the output of openssl rand -hex 32")
        return self.key_pepper.get_secret_value()

    def refuse_published_secrets(self, host: str) -> None:
        """Raises ``ConfigurationError`` if others can reach the API at ``host``, and a secret is one that all know."""
        address = self.published_on or host
        if _is_loopback(address):
            return
        for name, published in PUBLISHED_SECRETS.items():
            given: SecretStr | tuple[SecretStr, ...] | None = getattr(self, name)
            every = given if isinstance(given, tuple) else (given,)
            if SecretStr(published) in every:
                raise ConfigurationError(
                    f"LENGTHWISE_{name.upper()} is the default of docker-compose.yml, which everybody knows, and other "
                    f"machines can reach {address}: set your own, such as the output of openssl rand -base64 32"
                )

    def limit_threads(self) -> None:
        """Sets torch's number of threads. Has no effect once torch is imported, or if ``OMP_NUM_THREADS`` is set."""
        if self.threads:
            os.environ.setdefault("OMP_NUM_THREADS", str(self.threads))


@cache
def get() -> Settings:
    """The settings of this process. Raises ``ConfigurationError``, which names the wrong variable but not its value."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigurationError(
            f"LENGTHWISE_{str(first['loc'][0]).upper()}: {first['msg'].removeprefix('Value error, ')}"
        ) from None
