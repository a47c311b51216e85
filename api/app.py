"""The API as uvicorn starts it: ``uvicorn --factory api.app:create_app``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api import problem
from api.access.keyring import Keyring
from api.access.rate import RateHeaders, RateLimits
from api.access.request_counter import RequestCounter
from api.admin import health, keys, tenants, usage
from api.jobs import document, retry, routes
from api.jobs.backlog import Backlog
from api.jobs.completion_listener import CompletionListener
from api.openai import batches, files, sync_endpoints
from api.openai.validator import Validator
from api.state import State
from api.webhooks import delivery, routes
from lengthwise import database, queue, settings
from lengthwise.models.catalog_file import CatalogFile
from lengthwise.settings import Settings


def create_app(given: Settings | None = None) -> FastAPI:
    """The application for these settings, or for those of the environment. Raises ``ConfigurationError``."""
    current = given or settings.get()
    current.require_redis_url()  # bells are rung after the commit: too late to find that no broker is set
    ledger = database.connect(current.require_database_url(), current.database_connections, ring=queue.ring_bell)
    models = CatalogFile(current.models, current.models_seconds)
    shared = State(
        current,
        models,
        ledger,
        Backlog(ledger, current),
        CompletionListener(ledger),
        Keyring(ledger, current),
        RateLimits(ledger),
        RequestCounter(ledger),
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.validator = validator = Validator(shared)
        validator.start()
        yield
        await validator.close()
        await shared.endings.close()
        await shared.tally.close()
        database.shut(shared.database)

    app = FastAPI(
        title="lengthwise",
        version=version("lengthwise"),
        summary="Batch inference by token length: jobs of one to a million texts.",
        description=document.DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=lifespan,
        redirect_slashes=False,  # a redirect would repeat the path that was sent
    )
    app.state.shared = shared
    app.add_middleware(RateHeaders)
    problem.install(app)
    for module in (
        routes,
        retry,
        models,
        files,
        batches,
        sync_endpoints,
        routes,
        delivery,
        keys,
        tenants,
        usage,
        health,
    ):
        app.include_router(module.router)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


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
        schema["components"]["schemas"] |= document.SCHEMAS
        document.add_answers_to_keys(schema)
        app.openapi_schema = schema
    return app.openapi_schema
