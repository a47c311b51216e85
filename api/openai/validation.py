"""Reads a batch's file and makes a job of its lines, or collects all that is wrong with them.

One transaction a batch: a process that dies leaves nothing of it but the batch itself, for another try.
"""

import logging
from collections.abc import Callable, Iterator
from uuid import UUID

from sqlalchemy import Connection

from api.openai.intake import Intake, chunk_items, counted
from api.openai.line import Mistake, Reader, split
from api.state import State
from lengthwise.database import translated
from lengthwise.errors import ConfigurationError
from lengthwise.kinds.openai import ENDPOINTS
from lengthwise.ledger.jobs.submit import NewItem, NewJob
from lengthwise.ledger.openai import file as files
from lengthwise.ledger.openai import validation as ledger
from lengthwise.ledger.openai.validation import Waiting
from lengthwise.ledger.webhooks import event, secret
from lengthwise.models.catalog import ModelSpec
from lengthwise.states import Priority

log = logging.getLogger(__name__)

#: Errors of lines that are kept; beyond them one says how many more there were.
MOST_ERRORS = 1000
#: Lines that are written together.
_STRIDE = 64
#: Between two tries of a validation whose process died, or that failed for no reason of its file's: doubled each time.
_PAUSE_SECONDS = 10.0
_MOST_ATTEMPTS = 5


def validate(state: State, waiting: Waiting, is_stopping: Callable[[], bool] = lambda: False) -> None:
    """Validates one batch, unless another process does; while this one stops, it is left to the next.

    Raises ``Unavailable``, after which it is tried again.
    """
    with translated(), state.database.begin() as connection:
        is_mine = ledger.begin(connection, waiting.id, _PAUSE_SECONDS * 2**waiting.attempts)
    if not is_mine:
        return
    if waiting.attempts >= _MOST_ATTEMPTS:
        _fail(state, waiting, [Mistake("server_error", "the file could not be read, however often").shown(None)])
        return
    try:
        errors = _Validation(state, waiting, is_stopping).run()
    except ConfigurationError as error:
        log.error("batch %s not validated: %s", waiting.id, error)
        return
    if errors:
        _fail(state, waiting, errors)


def _fail(state: State, waiting: Waiting, errors: list[dict[str, object]]) -> None:
    with translated(), state.database.begin() as connection:
        if ledger.fail(connection, waiting.id, errors):
            event.announce_failed_batch(connection, waiting.id, waiting.tenant_id, waiting.webhook_url)


class _GivenUp(Exception):
    """The batch was cancelled meanwhile, or this process stops: nothing of its job may stay."""


class _Refused(Exception):
    """Lines were wrong: nothing of the job may stay."""


class _Validation:
    def __init__(self, state: State, waiting: Waiting, is_stopping: Callable[[], bool]) -> None:
        self._state, self._waiting, self._is_stopping = state, waiting, is_stopping
        self._kind = ENDPOINTS[waiting.endpoint]
        self._reader = Reader(waiting.endpoint, state.catalog, state.settings)
        self._errors: list[dict[str, object]] = []
        self._n_errors = 0

    def run(self) -> list[dict[str, object]]:
        """The errors of the file's lines; if there are none the batch is its job's. Raises ``Unavailable``."""
        waiting = self._waiting
        try:
            with translated(), self._state.database.begin() as connection:
                if not ledger.take(connection, waiting.id):
                    return []
                intake = Intake(connection, self._job(), self._state.settings, self._chunk_items())
                n_tokens = self._read(connection, intake)
                if self._n_errors:
                    raise _Refused
                intake.finish()
                if not ledger.accept(connection, waiting.id, intake.model):
                    raise _GivenUp
        except _GivenUp:
            return []
        except _Refused:
            return self._shown()
        self._state.backlog.add(waiting.tenant_id, n_tokens)
        return []

    def _read(self, connection: Connection, intake: Intake) -> int:
        """Reads every line. Returns the tokens of those that are written: none any more once a line was wrong."""
        most, n_tokens, n_lines = self._state.settings.max_batch_lines, 0, 0
        items: list[NewItem] = []
        specs: list[ModelSpec] = []
        for number, raw in split(_blocks(connection, self._waiting.input_file_id), self._state.settings.max_line_bytes):
            n_lines += 1
            if n_lines > most:
                self._note(Mistake("too_many_tasks", f"a file may have at most {most} requests"), None)
                break
            try:
                if raw is None:
                    limit = self._state.settings.max_line_bytes
                    raise Mistake("invalid_request", f"a line may have at most {limit} bytes")
                request = self._reader.read(raw)
                item = counted(self._kind, request)
            except Mistake as mistake:
                self._note(mistake, number)
                continue
            items.append(item)
            specs.append(request.spec)
            n_tokens += item.n_tokens
            if len(items) == _STRIDE:
                self._write(intake, items, specs)
                items, specs = [], []
        if items:
            self._write(intake, items, specs)
        if n_lines == 0:
            self._note(Mistake("empty_file", "the file has no request"), None)
        return n_tokens

    def _write(self, intake: Intake, items: list[NewItem], specs: list[ModelSpec]) -> None:
        if self._is_stopping():
            raise _GivenUp
        if not self._n_errors:
            intake.add(items, specs)

    def _note(self, mistake: Mistake, number: int | None) -> None:
        self._n_errors += 1
        if len(self._errors) < MOST_ERRORS:
            self._errors.append(mistake.shown(number))

    def _shown(self) -> list[dict[str, object]]:
        if self._n_errors > MOST_ERRORS:
            message = f"and {self._n_errors - MOST_ERRORS} more lines: the first {MOST_ERRORS} are named"
            self._errors.append(Mistake("invalid_request", message).shown(None))
        return self._errors

    def _job(self) -> NewJob:
        waiting = self._waiting
        return NewJob(
            id=waiting.id,
            tenant_id=waiting.tenant_id,
            kind=self._kind.name,
            model="",
            params={},
            pool="",
            priority=Priority(waiting.priority),
            deadline_at=waiting.deadline_at,
            webhook_url=waiting.webhook_url,
            webhook_secret=waiting.webhook_secret and secret.of_job(waiting.id, waiting.webhook_secret),
            deduplicate=waiting.deduplicate,
            key_id=waiting.key_id,
        )

    def _chunk_items(self) -> int:
        return chunk_items(self._state.settings, self._waiting.n_bytes, self._waiting.n_lines)


def _blocks(connection: Connection, file_id: UUID) -> Iterator[bytes]:
    n = 0
    while (block := files.chunk(connection, file_id, n)) is not None:
        yield block
        n += 1
