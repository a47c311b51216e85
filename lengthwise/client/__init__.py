"""The client of the API: ``Client`` blocks, ``AsyncClient`` is awaited, and both share their logic, which does no I/O.

Imported by nothing of the installation itself but the command line.
"""

from lengthwise.client._async_client import AsyncClient
from lengthwise.client._async_job import AsyncJob
from lengthwise.client._body import ColumnNames
from lengthwise.client._client import Client
from lengthwise.client._error import ClientError, RefusedError, UnreachableError, WaitTimeoutError
from lengthwise.client._job import Job
from lengthwise.client._resource import ItemCounts, ItemError, JobInfo, ModelInfo, Result

__all__ = [
    "AsyncClient",
    "AsyncJob",
    "Client",
    "ClientError",
    "ColumnNames",
    "ItemCounts",
    "ItemError",
    "Job",
    "JobInfo",
    "ModelInfo",
    "RefusedError",
    "Result",
    "UnreachableError",
    "WaitTimeoutError",
]
