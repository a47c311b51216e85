"""The client of the API: ``Client`` blocks, ``AsyncClient`` is awaited, and both share their logic, which does no I/O.

Imported by nothing of the installation itself but the command line.
"""

from lengthwise.client.answer import Counts, ItemError, JobInfo, Model, Result
from lengthwise.client.async_client import AsyncClient
from lengthwise.client.async_job import AsyncJob
from lengthwise.client.client import Client
from lengthwise.client.error import ClientError, Incomplete, Refused, Unreachable
from lengthwise.client.job import Job
from lengthwise.client.sending import Columns

__all__ = [
    "AsyncClient",
    "AsyncJob",
    "Client",
    "ClientError",
    "Columns",
    "Counts",
    "Incomplete",
    "ItemError",
    "Job",
    "JobInfo",
    "Model",
    "Refused",
    "Result",
    "Unreachable",
]
