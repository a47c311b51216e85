"""What a batch that others join has room for. Pure: knows lengths and limits, nothing of requests or engines."""

from dataclasses import dataclass, field

#: Of the rows, and of the tokens, one in so many is free before others join: they cost a pass through the model.
_FREE_ONE_IN = 8


@dataclass(slots=True)
class Capacity:
    """At most ``rows`` requests with ``tokens`` of input in all, or one that is longer."""

    rows: int
    tokens: int
    #: The input tokens of each that has joined and not left.
    in_hand: dict[int, int] = field(default_factory=dict)

    @property
    def free_rows(self) -> int:
        return self.rows - len(self.in_hand)

    @property
    def free_tokens(self) -> int:
        return self.tokens - sum(self.in_hand.values())

    @property
    def is_wide(self) -> bool:
        """Whether it is worth while to let others join now."""
        is_free = self.free_rows * _FREE_ONE_IN >= self.rows and self.free_tokens * _FREE_ONE_IN >= self.tokens
        return is_free or not self.in_hand

    def admit(self, number: int, length: int) -> bool:
        """Lets one more join, if there is room for it; whoever would be alone always has."""
        if self.in_hand and (self.free_rows < 1 or self.free_tokens < length):
            return False
        self.in_hand[number] = length
        return True

    def leave(self, number: int) -> None:
        del self.in_hand[number]
