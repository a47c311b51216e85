"""How many requests a continuous batch can still admit. Pure: knows lengths and limits, no requests and no engines."""

from dataclasses import dataclass, field

#: Requests join once one in this many rows, and one in this many tokens, is free. They join in groups, because each
#: group costs a pass through the model.
_FREE_ONE_IN = 8


@dataclass(slots=True)
class Capacity:
    """At most ``rows`` requests with ``tokens`` input tokens in total, or a single longer request."""

    rows: int
    tokens: int
    #: Input tokens of each request in the batch, by its number.
    admitted: dict[int, int] = field(default_factory=dict)

    @property
    def free_rows(self) -> int:
        return self.rows - len(self.admitted)

    @property
    def free_tokens(self) -> int:
        return self.tokens - sum(self.admitted.values())

    @property
    def can_admit_group(self) -> bool:
        """Whether enough is free for a group of requests to join."""
        is_free = self.free_rows * _FREE_ONE_IN >= self.rows and self.free_tokens * _FREE_ONE_IN >= self.tokens
        return is_free or not self.admitted

    def admit(self, number: int, length: int) -> bool:
        """Adds a request if it fits; returns whether it did. In an empty batch, any request fits."""
        if self.admitted and (self.free_rows < 1 or self.free_tokens < length):
            return False
        self.admitted[number] = length
        return True

    def leave(self, number: int) -> None:
        del self.admitted[number]
