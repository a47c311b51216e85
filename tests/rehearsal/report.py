"""The table of what everyone said, in Markdown."""

from collections.abc import Sequence

from tests.rehearsal.witness import Outcome, Statement

_HEAD = ("incident", "who", "said it after", "what it said", "well again after")


def table(outcomes: Sequence[Outcome], unexpected: Sequence[str]) -> str:
    """A row for each witness of each incident, and one for the work that it hit."""
    lines = [_row(*_HEAD), "|---|---|---|---|---|"]
    for outcome in outcomes:
        rows = [_cells(each) for each in outcome.statements]
        rows.append(("the work", "", outcome.problem or outcome.ending, ""))
        for place, row in enumerate(rows):
            lines.append(_row("" if place else outcome.title, *row))
    if unexpected:
        lines += ["", f"Alerts that fired without a reason: {', '.join(unexpected)}."]
    return "\n".join(lines) + "\n"


def _cells(said: Statement) -> tuple[str, str, str, str]:
    if said.said_after is None:
        return said.witness, "never", said.note or "", ""
    well = said.note if said.note is not None else _seconds(said.well_after)
    return said.witness, _seconds(said.said_after), said.sentence or "", well


def _seconds(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.0f} s"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
