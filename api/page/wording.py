"""Numbers, times and sentences as the page writes them. All times are UTC."""

from datetime import UTC, date, datetime

from markupsafe import Markup, escape

from lengthwise.states import Reason

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))
#: Reasons that wait for somebody to do something.
_STUCK = frozenset(
    {
        Reason.NO_WORKER,
        Reason.MODEL_UNKNOWN,
        Reason.MODEL_NOT_SERVED,
        Reason.ENGINE_PAUSED,
        Reason.BISECTING,
        Reason.NO_DELIVERY_WORKER,
    }
)
_STEPS = ((10**9, "G"), (10**6, "M"), (10**3, "k"))


def number(value: float) -> str:
    """With separators of thousands; a fraction only below ten: 1,234,567 and 4.2."""
    return f"{value:,.1f}" if value != int(value) and abs(value) < 10 else f"{value:,.0f}"


def short(value: float) -> str:
    """In three digits or so: 950, 1.2k, 34M."""
    for step, letter in _STEPS:
        if abs(value) >= step:
            scaled = value / step
            return f"{scaled:.1f}{letter}" if abs(scaled) < 10 else f"{scaled:.0f}{letter}"
    return number(value)


def share(value: float) -> str:
    """A share of 1 in per cent. What is more than nothing is never shown as nothing."""
    if 0 < value < 0.001:
        return "< 0.1%"
    return f"{100 * value:.1f}%"


def span(seconds: float) -> str:
    """How long something takes, in its two largest units: 3 d 4 h, 2 min, 12 s."""
    left = max(0, int(seconds))
    parts = []
    for size, unit in _UNITS:
        if left >= size:
            parts.append(f"{left // size} {unit}")
            left %= size
    if left and not parts:
        parts.append(f"{left} s")
    return " ".join(parts[:2]) or "0 s"


def ago(at: datetime) -> str:
    return f"{span((datetime.now(UTC) - at).total_seconds())} ago"


def ahead(at: datetime) -> str:
    return f"in {span((at - datetime.now(UTC)).total_seconds())}"


def moment(at: datetime) -> str:
    """Its date and time: 2031-01-31 12:00:00."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def type_of_day(typed: str) -> str:
    """The type of a day's field. One for dates would not show what is no date."""
    try:
        date.fromisoformat(typed or "2031-01-31")
    except ValueError:
        return "text"
    return "date"


def bytes_of(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"


def time_of(at: datetime) -> str:
    """Its time alone: 12:00:00."""
    return at.astimezone(UTC).strftime("%H:%M:%S")


def with_code(sentence: str) -> Markup:
    """A sentence of ours, in which commands stand between backticks."""
    parts = [escape(part) for part in sentence.split("`")]
    return Markup("").join(Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts))


def tone(reason: str, n_failed: int = 0) -> str:
    """How a reason is coloured: bad if somebody must do something, good if all is done, calm otherwise."""
    if reason in _STUCK:
        return "bad"
    if reason == Reason.ENDED:
        return "warn" if n_failed else "good"
    return "warn" if reason == Reason.RETRYING else "calm"


FILTERS = {
    each.__name__: each
    for each in (number, short, share, span, ago, ahead, moment, time_of, bytes_of, with_code, tone, type_of_day)
}
