"""The kinds of job, by name. A new kind is one module here and one line below."""

from lengthwise.kinds import openai
from lengthwise.kinds.chat import Chat
from lengthwise.kinds.embed import Embed
from lengthwise.kinds.generate import Generate
from lengthwise.kinds.kind import Kind
from lengthwise.kinds.moderate import Moderate
from lengthwise.kinds.translate import Translate

#: What a native job may name.
KINDS: dict[str, Kind] = {kind.name: kind for kind in (Translate(), Moderate(), Chat(), Generate(), Embed())}
#: And the lines of OpenAI's batches.
EVERY: dict[str, Kind] = {**KINDS, **openai.BY_NAME}
