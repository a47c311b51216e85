"""The kinds of job, by name. A new kind is one module here and one line below."""

from lengthwise.kinds import openai
from lengthwise.kinds.chat import ChatKind
from lengthwise.kinds.embed import EmbedKind
from lengthwise.kinds.generate import GenerateKind
from lengthwise.kinds.kind import Kind
from lengthwise.kinds.moderate import ModerateKind
from lengthwise.kinds.translate import TranslateKind

#: What a native job may name.
KINDS: dict[str, Kind] = {
    kind.name: kind for kind in (TranslateKind(), ModerateKind(), ChatKind(), GenerateKind(), EmbedKind())
}
#: And the lines of OpenAI's batches.
EVERY: dict[str, Kind] = {**KINDS, **openai.BY_NAME}
