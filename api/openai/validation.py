"""Reads a batch's file and makes a job of its lines, or collects the errors of all lines.

Each batch is validated in one transaction. If the process dies, only the batch remains, and another process tries.
"""

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from math import inf
from uuid import UUID

from sqlalchemy import Connection

from api.intake.counting import Portion
from api.intake.intake import Intake
from api.jobs.schema import MAX_NAME, MAX_TAGS, TAG_PATTERN
from api.jobs.state import JobsState
from api.openai.line_reader import CheckedRequest, LineError, LineReader, portions, split
from lengthwise.database import translated
from lengthwise.errors import ConfigurationError, InvalidInput
from lengthwise.kinds.openai import ENDPOINTS
from lengthwise.ledger.jobs.sign_of_life import SignOfLife
from lengthwise.ledger.jobs.submit import ROW_BYTES, NewJob
from lengthwise.ledger.openai import file as files
from lengthwise.ledger.openai import validation as ledger
from lengthwise.ledger.openai.validation import WaitingBatch
from lengthwise.ledger.queue import settle
from lengthwise.ledger.webhooks import event, sealed_secret
from lengthwise.states import Priority

log = logging.getLogger(__name__)

_TAG = re.compile(TAG_PATTERN)

#: At most this many errors of lines are kept. One more entry says how many others there were.
MAX_ERRORS = 1000
#: The pause before another try, if the process died or failed for a reason outside of the file. It doubles each time.
_PAUSE_SECONDS = 10.0
_MAX_ATTEMPTS = 5


def validate(state: JobsState, waiting: WaitingBatch, is_stopping: Callable[[], bool] = lambda: False) -> None:
    """Validates one batch, unless another process does. If this process is stopping, another one will validate it.

    Raises ``Unavailable``; then it is tried again later.
    """
    with translated(), state.database.begin() as connection:
        is_mine = ledger.begin(connection, waiting.id, _PAUSE_SECONDS * 2**waiting.attempts)
    if not is_mine:
        return
    if waiting.attempts >= _MAX_ATTEMPTS:
        _fail(state, waiting, [LineError("server_error", "the file could not be read in several attempts").shown(None)])
        return
    try:
        errors = _Validation(state, waiting, is_stopping).run()
    except ConfigurationError as error:
        log.error("batch %s not validated: %s", waiting.id, error)
        return
    if errors:
        _fail(state, waiting, errors)


def _fail(state: JobsState, waiting: WaitingBatch, errors: list[dict[str, object]]) -> None:
    with translated(), state.database.begin() as connection:
        if ledger.fail(connection, waiting.id, errors):
            event.announce_failed_batch(connection, waiting.id, waiting.tenant_id, waiting.webhook_url)


class _GivenUp(Exception):
    """The batch was cancelled meanwhile, or this process is stopping. Its job is rolled back."""


class _Refused(Exception):
    """Some lines were wrong. The job is rolled back."""


class _LineErrors:
    """The errors of a file's lines. All are counted, and the first ``MAX_ERRORS`` are kept."""

    def __init__(self) -> None:
        #: Not the errors themselves: each would keep its line in memory, through its traceback.
        self._noted: list[tuple[float, dict[str, object]]] = []
        self._n = 0

    @property
    def is_empty(self) -> bool:
        return self._n == 0

    def add(self, place: int, error: InvalidInput) -> None:
        self.note(LineError("invalid_request", str(error), error.field), place)

    def note(self, error: LineError, number: int | None) -> None:
        """Adds the error of a line, by its number, or of the whole file."""
        self._n += 1
        if len(self._noted) < MAX_ERRORS:
            self._noted.append((inf if number is None else number, error.shown(number)))

    def shown(self) -> list[dict[str, object]]:
        """The entries of ``errors.data``, in the order of the lines."""
        found = [shown for _, shown in sorted(self._noted, key=lambda noted: noted[0])]
        if self._n > MAX_ERRORS:
            message = f"and {self._n - MAX_ERRORS} more lines: the first {MAX_ERRORS} are named"
            found.append(LineError("invalid_request", message).shown(None))
        return found


class _Validation:
    def __init__(self, state: JobsState, waiting: WaitingBatch, is_stopping: Callable[[], bool]) -> None:
        self._state, self._waiting, self._is_stopping = state, waiting, is_stopping
        self._kind = ENDPOINTS[waiting.endpoint]
        self._reader = LineReader(waiting.endpoint, state.catalog, state.settings)
        self._errors = _LineErrors()

    def run(self) -> list[dict[str, object]]:
        """Writes the job, or returns the errors of the file's lines. Raises ``Unavailable``."""
        waiting = self._waiting
        try:
            with translated(), self._state.database.begin() as connection:
                if not ledger.take(connection, waiting.id):
                    return []
                n_tokens = self._write(connection)
        except _GivenUp:
            return []
        except _Refused:
            return self._errors.shown()
        self._state.backlog.add(waiting.tenant_id, n_tokens)
        return []

    def _write(self, connection: Connection) -> int:
        """Writes the job of the batch. Returns how many tokens now wait for a worker."""
        intake = Intake(connection, self._job(), self._state.settings)
        intake.take(self._portions(connection), self._errors)
        if not self._errors.is_empty:
            raise _Refused
        submission = intake.finish()
        if submission.n_refused == submission.n_items:  # no item can run
            settle.complete_jobs(connection, [self._waiting.id])
        if not ledger.accept(connection, self._waiting.id, intake.model):
            raise _GivenUp
        return submission.n_tokens

    def _portions(self, connection: Connection) -> Iterator[Portion]:
        for portion in portions(self._kind, self._requests(connection)):
            if self._is_stopping():
                raise _GivenUp
            yield portion

    def _requests(self, connection: Connection) -> Iterator[tuple[int, CheckedRequest]]:
        """Reads every line, and collects the errors of those that are wrong."""
        max_lines, limit = self._state.settings.max_batch_lines, self._state.settings.max_line_bytes
        life = SignOfLife(connection, self._state.settings.lease_seconds)
        n_lines = 0
        for number, raw in split(_blocks(connection, self._waiting.input_file_id), limit):
            life.show()
            n_lines += 1
            if n_lines > max_lines:
                self._errors.note(LineError("too_many_tasks", f"a file may have at most {max_lines} requests"), None)
                break
            try:
                if raw is None:
                    raise LineError("invalid_request", f"a line may have at most {limit} bytes")
                request = self._reader.read(raw)
            except LineError as error:
                self._errors.note(error, number)
            else:
                yield number, request
        if n_lines == 0:
            self._errors.note(LineError("empty_file", "the file has no request"), None)

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
            webhook_secret=waiting.webhook_secret and sealed_secret.unseal_for_job(waiting.id, waiting.webhook_secret),
            deduplicate=waiting.deduplicate,
            key_id=waiting.key_id,
            name=_fitting_name(waiting.metadata or {}),
            tags=_fitting_tags(waiting.metadata or {}),
            source_file=waiting.filename,
            sent_items=max(waiting.n_lines or 0, (waiting.n_bytes or 0) // ROW_BYTES),
        )


def _fitting_name(metadata: Mapping[str, str]) -> str | None:
    """The batch's metadata ``name``, if a job may be called so."""
    name = metadata.get("name", "")
    return name if 0 < len(name) <= MAX_NAME else None


def _fitting_tags(metadata: Mapping[str, str]) -> list[str]:
    """The metadata ``tags``, separated by commas; those that a job may have."""
    given = (each.strip() for each in metadata.get("tags", "").split(","))
    return [each for each in dict.fromkeys(given) if _TAG.fullmatch(each)][:MAX_TAGS]


def _blocks(connection: Connection, file_id: UUID) -> Iterator[bytes]:
    n = 0
    while (block := files.read_chunk(connection, file_id, n)) is not None:
        yield block
        n += 1
