"""A model as its process knows it, between two reports."""

from dataclasses import dataclass, replace

from lengthwise.ledger.workers import ReportedModel


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model as it is reported, and two times by the monotonic clock."""

    reported: ReportedModel
    failed_at: float | None = None
    paused_until: float | None = None

    def at(self, now: float) -> ReportedModel:
        """It as it is reported now."""
        failed = None if self.failed_at is None else now - self.failed_at
        if self.paused_until is None or self.paused_until <= now:
            return replace(self.reported, failed_seconds=failed, paused_for=None)
        return replace(self.reported, failed_seconds=failed, paused_seconds=self.paused_until - now)
