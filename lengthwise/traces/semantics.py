"""The names of span attributes, by OpenTelemetry's semantic conventions in one version.

The conventions for generative AI are still in development there, and each version renames some. So the version is
pinned: ``docs/operating.md`` names it too.
"""

from collections.abc import Collection

SCHEMA_URL = "https://opentelemetry.io/schemas/1.37.0"

#: A claim may hold shards of more jobs. It is also what OpenTelemetry's SDK takes by default.
MAX_LINKS = 128

#: The conventions' names of operations. Other kinds of job have their own name, as the conventions allow.
_OPERATIONS = {"chat": "chat", "generate": "text_completion", "embed": "embeddings"}


def of_model(model: str, kinds: Collection[str]) -> dict[str, str]:
    """What a claim or a batch runs."""
    names = sorted({_OPERATIONS.get(kind, kind) for kind in kinds})
    operation = names[0] if len(names) == 1 else "batch"
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "lengthwise",
        "gen_ai.request.model": model,
    }


def of_usage(n_input: int, n_output: int) -> dict[str, int]:
    """What a batch took, in tokens."""
    return {"gen_ai.usage.input_tokens": n_input, "gen_ai.usage.output_tokens": n_output}
