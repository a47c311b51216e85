"""What the kinds of native jobs have in common: the job says how all of its items are decoded, lines are our own."""

from typing import Any, ClassVar

from lengthwise.kinds import result_line as lines
from lengthwise.kinds.kind import Decoding
from lengthwise.models.catalog import ModelSpec


class NativeKind:
    decodes_per_item: ClassVar[bool] = False
    max_attempts: ClassVar[int] = 2
    exhausted_error: ClassVar[str] = "placeholder_lost"

    succeeded = staticmethod(lines.succeeded)
    failed = staticmethod(lines.failed)

    def decoding_of(self, spec: ModelSpec, params: Any, item: Any, n_asked: int) -> Decoding:
        raise NotImplementedError("asked once for the whole job")
