"""One job: how far it is and why, its results, its shape, and its webhooks."""

from uuid import UUID

from fastapi import APIRouter, Request, Response
from markupsafe import Markup

from api.access.caller import Caller
from api.http.identifier import identifier
from api.jobs import download, routes
from api.jobs.body_format import BodyFormat
from api.jobs.download import ResultFormat
from api.jobs.schema import Job
from api.jobs.tables import result_table
from api.page import answer, plot, stream, wording
from api.page.header import HEADERS
from api.page.jobs import sample
from api.page.live import Frame
from api.page.session import PageReader
from api.page.state import PageState, of
from lengthwise.database import translated
from lengthwise.errors import NotFound
from lengthwise.key import Scope
from lengthwise.ledger.jobs import shape
from lengthwise.ledger.jobs.shape import JobShape
from lengthwise.sharding import longest_of

router = APIRouter(prefix="/page", include_in_schema=False)

#: By what a link asks for: the format and the suffix of the file.
_FORMATS = {
    "ndjson": (BodyFormat.NDJSON, "ndjson"),
    "csv": (BodyFormat.CSV, "csv"),
    "parquet": (BodyFormat.PARQUET, "parquet"),
}


@router.get("/jobs/{job_id}")
def show(request: Request, tenant: PageReader, job_id: str) -> Response:
    state, viewer = of(request), _viewer(request)
    found = routes.job(request, tenant, job_id)
    job_shape = _shape(state, tenant, identifier(job_id))
    return answer.page(
        request,
        "job.html",
        job=found,
        is_over=_is_over(found),
        samples=sample.read(state, tenant, identifier(job_id)),
        deliveries=routes.deliveries(request, tenant, job_id)["data"],
        length_plot=_length_plot(job_shape),
        batch_plot=_batch_plot(job_shape),
        is_part=job_shape.is_part,
        may_act=viewer.may(Scope.SUBMIT),
    )


@router.get("/events/jobs/{job_id}")
def events(request: Request, tenant: PageReader, job_id: str) -> Response:
    """The changing part of the page, again and again, until the job has ended."""
    routes.job(request, tenant, job_id)

    def frame() -> Frame:
        job = routes.job(request, tenant, job_id)
        return Frame(answer.rendered("job_live.html", job=job), _is_over(job))

    return stream.events(request, (tenant, job_id), frame)


@router.get("/jobs/{job_id}/results/{name}")
def results(request: Request, tenant: PageReader, job_id: str, name: str) -> Response:
    """The results as a file."""
    if name not in _FORMATS:
        raise NotFound("there is no such format")
    body_format, suffix = _FORMATS[name]
    result_table.check(body_format, "format")
    found = download.answer(of(request), tenant, identifier(job_id), -1, ResultFormat(body_format))
    found.headers.update(HEADERS)
    found.headers["Content-Disposition"] = f'attachment; filename="results-{identifier(job_id)}.{suffix}"'
    return found


def _viewer(request: Request) -> Caller:
    viewer: Caller = request.state.caller
    return viewer


def _is_over(job: Job) -> bool:
    return job.finished_at is not None


def _shape(state: PageState, tenant: UUID, job_id: UUID) -> JobShape:
    with translated(), state.database.begin() as connection:
        return shape.read(connection, job_id, tenant)


def _length_plot(found: JobShape) -> Markup | None:
    if not found.lengths:
        return None
    return plot.bars(
        "Items by their length in tokens",
        [plot.PlotBar(f"≤ {longest_of(band.bucket)}", band.n_items) for band in found.lengths],
    )


def _batch_plot(found: JobShape) -> Markup | None:
    """Items settled a second, in each interval of the job's time."""
    if not found.settled:
        return None
    seconds = max(0.001, (found.until - found.begun_at).total_seconds()) / found.n_intervals
    of_place = {each.place: each.n_items / seconds for each in found.settled}
    points = [
        plot.Point((place + 0.5) / found.n_intervals, of_place.get(place, 0.0)) for place in range(found.n_intervals)
    ]
    n_batches = sum(each.n_batches for each in found.settled)
    title = f"Items settled a second, in {wording.number(n_batches)} batches"
    is_of_a_day = found.begun_at.date() == found.until.date()
    until = (wording.time_of if is_of_a_day else wording.moment)(found.until)
    return plot.line(title, points, [wording.moment(found.begun_at), until])
