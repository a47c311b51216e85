"""How much a continuous batch can take. Pure: knows lengths and limits, nothing of requests or engines."""

from dataclasses import dataclass, field

#: Requests join once one in so many rows and tokens is free, because each joining group costs a pass through the model.
_FREE_ONE_IN = 8


@dataclass(slots=True)
class Capacity:
    """At most ``rows`` requests with ``tokens`` input tokens in all, or a single longer one."""

    rows: int
    tokens: int
    #: Input tokens of each request in the batch, by its number.
    in_hand: dict[int, int] = field(default_factory=dict)

    @property
    def free_rows(self) -> int:
        return self.rows - len(self.in_hand)

    @property
    def free_tokens(self) -> int:
        return self.tokens - sum(self.in_hand.values())

    @property
    def is_wide(self) -> bool:
        """Whether enough is free for a group of requests to join."""
        is_free = self.free_rows * _FREE_ONE_IN >= self.rows and self.free_tokens * _FREE_ONE_IN >= self.tokens
        return is_free or not self.in_hand

    def admit(self, number: int, length: int) -> bool:
        """Adds a request if it fits. A request that would be alone always fits."""
        if self.in_hand and (self.free_rows < 1 or self.free_tokens < length):
            return False
        self.in_hand[number] = length
        return True

    def leave(self, number: int) -> None:
        del self.in_hand[number]
