"""The application: its routers, what they share, and its OpenAPI document. ``api/serve`` serves it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api import problem
from api.access.keyring import Keyring
from api.access.rate import RateHeaders, RateLimits
from api.access.request_counter import RequestCounter
from api.access.turns import Turns
from api.admin import installation, keys, limits, tenants, usage, workers
from api.admin.readiness import Readiness
from api.http import document
from api.http.form import FORM_BYTES
from api.http.request_meter import RequestMeter
from api.http.spool import Spools
from api.jobs import retry
from api.jobs import routes as jobs
from api.jobs.backlog import Backlog
from api.jobs.completion_listener import CompletionListener
from api.jobs.estimates import routes as estimates
from api.jobs.schema import JOB_FORMS
from api.jobs.state import PARQUET_PROCESSES
from api.openai import batches, files, models, sync_endpoints
from api.openai import document as openai_document
from api.openai import error as openai_error
from api.openai.validator import BatchValidator
from api.page import answer as page_answer
from api.page import asset, documentation, overview, root, sign_in
from api.page.account import key_room, tenant_room, usage_room
from api.page.jobs import act, listing, show
from api.page.live import LiveFigures
from api.page.operate import models as page_models
from api.page.operate import workers as page_workers
from api.page.seal import Sessions
from api.page.state import PageState
from api.page.submit import route as page_submit
from api.page.webhooks import act as webhook_act
from api.page.webhooks import endpoints as page_endpoints
from api.refusals import RefusalTally
from api.shield import Shield
from api.webhooks import delivery
from api.webhooks import routes as webhooks
from lengthwise import database, queue, settings
from lengthwise.database import Database
from lengthwise.metrics import meters
from lengthwise.metrics import server as metrics
from lengthwise.metrics.connections import ConnectionCollector
from lengthwise.metrics.queue import QueueCollector
from lengthwise.models.catalog_file import CatalogFile
from lengthwise.scaling.answer import ScalingAnswer
from lengthwise.settings import Settings
from lengthwise.webhooks.host_check import HostCheck

DESCRIPTION = """
Every error is problem details (RFC 9457), including the 404 of an unknown path and the 405 of an unknown method. Below
/v1/files, /v1/batches and the other paths of OpenAI's API, errors have OpenAI's form. No error repeats what was sent,
and a refused job leaves nothing behind.

JSON is read strictly: UTF-8, no unknown fields, no number that is out of range, at most 200 levels deep. If a name
occurs twice in one object, the last value counts.

Every request except those of health needs an API key, as Authorization: Bearer lw_.... A key belongs to a tenant and
sees only what belongs to that tenant; anything else is a 404. Its scopes say what it may do: submit, read, webhooks, or
admin, which includes the others.

Bodies may be compressed by gzip or zstd, as Content-Encoding says. Limits apply to the unpacked body.

A request that makes a job may carry an Idempotency-Key, so that it can be sent again if its answer is lost. The same
request under the same key is answered with the same job for as long as the job is kept; a different request under that
key is a 422. While too many tokens wait, new jobs are refused with 429 before they are read. This check uses figures
that are about a second old, so a limit may be overrun a little. A job that arrives while there is room is taken whole.
"""

#: How long a request waits for a database connection. Added to a wait for a lock it is less than five seconds.
_POOL_SECONDS = 1.5
#: Connections that submissions leave to other requests.
_SPARE_CONNECTIONS = 2
#: Parquet files of one tenant that wait to be read.
_WAITING_PARQUET = 5

#: Each router and the form of its errors, in the order of the documentation.
ROUTERS = (
    (problem.details, [jobs.router, estimates.router, retry.router, installation.router]),
    (openai_error.from_problem, [models.router, files.router, batches.router, sync_endpoints.router]),
    (
        problem.details,
        [webhooks.router, delivery.router, keys.router, tenants.router, limits.router, usage.router, workers.router],
    ),
    (problem.details, [root.router, documentation.router]),
    (
        page_answer.of_problem,
        [sign_in.router, asset.router, overview.router, listing.router, act.router, show.router, page_submit.router],
    ),
    (
        page_answer.of_problem,
        [page_workers.router, page_models.router, webhook_act.router, page_endpoints.router],
    ),
    (page_answer.of_problem, [usage_room.router, key_room.router, tenant_room.router]),
)


@dataclass(frozen=True, kw_only=True)
class SharedState(PageState):
    """What the requests of this process share."""


def create_app(override: Settings | None = None) -> FastAPI:
    """The application for these settings, or for those of the environment. Raises ``ConfigurationError``."""
    current = override or settings.get()
    current.require_redis_url()  # checked now, because a missing broker would otherwise be found only after a commit
    shared = _shared(current)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.validator = validator = BatchValidator(shared)
        validator.start()
        pages = {"/scaling": ScalingAnswer(shared.database, current)}
        with metrics.serving(current, meters.API, *_collectors(shared), pages=pages):
            yield
        await validator.close()
        await shared.live.close()
        shared.hosts.close()
        await shared.completions.close()
        await shared.request_counter.close()
        for pool in {shared.completions.database, shared.database}:
            database.shut(pool)

    app = FastAPI(
        title="lengthwise",
        version=version("lengthwise"),
        summary="Batch inference by token length: jobs of one to a million texts.",
        description=DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=lifespan,
        docs_url=None,  # ours need no network
        redoc_url=None,
        redirect_slashes=False,  # a redirect would repeat the path that was sent
    )
    app.state.shared = shared
    app.state.readiness = Readiness(shared)
    app.add_middleware(RateHeaders)
    app.state.forms = forms = problem.ErrorForms()
    app.state.refusals = refusals = RefusalTally()
    for form, routers in ROUTERS:
        for router in routers:
            forms.add(router, form)
            app.include_router(router)
    problem.install(app, forms)
    app.add_middleware(Shield, forms=forms, refusals=refusals)
    # Outside of the shield, so that it counts what the shield answers.
    app.add_middleware(RequestMeter)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _shared(current: Settings) -> SharedState:
    ledger = _connect(current, current.require_database_url(), current.database_connections)
    session_url = current.database_session_url
    return SharedState(
        settings=current,
        models=CatalogFile(current.models, current.models_seconds),
        database=ledger,
        hosts=HostCheck(current.webhook_allowed_networks, current.webhook_lookup_seconds),
        spools=_spools(current),
        backlog=Backlog(ledger, current),
        completions=CompletionListener(ledger if session_url is None else _connect(current, session_url, 1)),
        keyring=Keyring(ledger, current),
        rate_limits=RateLimits(ledger),
        request_counter=RequestCounter(ledger),
        sessions=Sessions(current.require_key_pepper()),
        live=LiveFigures(),
        writing=_writing(current.database_connections),
        parquet=Turns(PARQUET_PROCESSES, of_tenant=PARQUET_PROCESSES // 2, max_waiting=_WAITING_PARQUET),
    )


def _collectors(shared: SharedState) -> tuple[QueueCollector, ConnectionCollector]:
    """What this process is asked for at each scrape of its metrics."""
    current = shared.settings
    of_queue = QueueCollector(
        shared.database, tenants=current.metrics_tenants, presence_seconds=current.presence_seconds
    )
    return of_queue, ConnectionCollector(lambda: shared.database)


def _spools(current: Settings) -> Spools:
    largest = max(current.max_body_bytes, current.max_file_bytes + FORM_BYTES)
    return Spools(current.max_spooled_bytes, max(current.max_spooled_bytes // 2, largest))


def _writing(connections: int) -> Turns:
    """Half of the connections for one tenant. Other requests, which are short, always find one or two."""
    return Turns(max(1, connections - _SPARE_CONNECTIONS), of_tenant=max(1, connections // 2))


def _connect(current: Settings, url: str, connections: int) -> Database:
    return database.connect(
        url,
        connections,
        ring=queue.ring_bell,
        pool_seconds=_POOL_SECONDS,
        statement_seconds=current.database_statement_seconds,
        lock_seconds=current.database_lock_seconds,
    )


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            license_info=app.license_info,
            routes=app.routes,
        )
        forms = [*JOB_FORMS.values(), *openai_document.FORMS]
        schema["components"]["schemas"] |= {"Problem": document.PROBLEM_SCHEMA, **document.schemas(forms)}
        openai_document.complete_examples(schema)
        app.openapi_schema = schema
    return app.openapi_schema
