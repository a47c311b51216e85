"""The client of a lengthwise API: ``Client`` for programs that block, ``AsyncClient`` for programs with an event loop.

Everything public is imported from here; the modules inside are private. It needs neither the server's packages nor any
other part of lengthwise but the errors and the file formats. The errors, split by what their caller can do:

LengthwiseError
  ConfigurationError       the URL, the key or a local file is wrong: mend it
  ClientError
    RefusedError           the server answered with problem details
      InvalidInputError    change the request; ``field`` and ``index`` say where         (400, 415, 422)
        TooLargeError      make it smaller                                               (413)
      NotAllowedError      use another key, or one with the right scope                  (401, 403)
      NotFoundError        there is no such job, or it belongs to another tenant         (404)
      ConflictError        the job's state does not allow this                           (409)
      TooBusyError         too much work waits, and did so at every retry                (429)
      UnavailableError     the server, its database or its queue is away or full         (5xx)
    UnreachableError       no complete answer arrived, at any retry
    WaitTimeoutError       the job did not end in the time given to ``wait``

Each refusal but ``NotAllowedError`` is also the error of the same meaning in ``lengthwise.errors``. An item that JSON
cannot express raises ``lengthwise.errors.InvalidInput``, and nothing is sent.
"""

from lengthwise.client._address import DEFAULT_URL, KEY_VARIABLE, URL_VARIABLE
from lengthwise.client._async_client import AsyncClient
from lengthwise.client._async_job import AsyncJob
from lengthwise.client._body import ColumnNames
from lengthwise.client._client import Client
from lengthwise.client._error import (
    ClientError,
    ConflictError,
    InvalidInputError,
    NotAllowedError,
    NotFoundError,
    RefusedError,
    TooBusyError,
    TooLargeError,
    UnavailableError,
    UnreachableError,
    WaitTimeoutError,
)
from lengthwise.client._job import Job
from lengthwise.client._resource import (
    EstimateInfo,
    ItemCounts,
    ItemError,
    JobErrors,
    JobInfo,
    JobPosition,
    JobProgress,
    JobWebhook,
    LimitInfo,
    LimitsInfo,
    ModelInfo,
    Priority,
    RefusalEstimate,
    Result,
    SpeedEstimate,
    State,
    TableInfo,
    WorkerInfo,
    WorkerModelInfo,
)
from lengthwise.client._spool import Item
from lengthwise.errors import ConfigurationError, LengthwiseError
from lengthwise.formats.file import FileFormat

__all__ = [
    "DEFAULT_URL",
    "KEY_VARIABLE",
    "URL_VARIABLE",
    "AsyncClient",
    "AsyncJob",
    "Client",
    "ClientError",
    "ColumnNames",
    "ConfigurationError",
    "ConflictError",
    "EstimateInfo",
    "FileFormat",
    "InvalidInputError",
    "Item",
    "ItemCounts",
    "ItemError",
    "Job",
    "JobErrors",
    "JobInfo",
    "JobPosition",
    "JobProgress",
    "JobWebhook",
    "LengthwiseError",
    "LimitInfo",
    "LimitsInfo",
    "ModelInfo",
    "NotAllowedError",
    "NotFoundError",
    "Priority",
    "RefusalEstimate",
    "RefusedError",
    "Result",
    "SpeedEstimate",
    "State",
    "TableInfo",
    "TooBusyError",
    "TooLargeError",
    "UnavailableError",
    "UnreachableError",
    "WaitTimeoutError",
    "WorkerInfo",
    "WorkerModelInfo",
]

# Tracebacks name the public path of a class, not the private module that defines it.
for _name in __all__:
    if getattr(globals()[_name], "__module__", "").startswith(f"{__name__}._"):
        globals()[_name].__module__ = __name__
del _name
