"""``lengthwise models``: what jobs may name."""

from rich.table import Table

from lengthwise.cli.connection import AsJson, Key, Url, connected, console, print_json
from lengthwise.client._address import DEFAULT_URL


def models(as_json: AsJson = False, url: Url = DEFAULT_URL, key: Key = None) -> None:
    """List the models that jobs may name."""
    with connected(url, key) as client:
        found = client.models()
    if as_json:
        print_json([model.model_dump(mode="json") for model in found])
        return
    table = Table("model", "kinds", "languages", "context", "quantization", "revision", box=None)
    for model in found:
        pairs = ", ".join(f"{source}→{target}" for source, target in model.languages)
        row = (model.id, ", ".join(model.kinds), pairs, str(model.context), model.quantization, model.revision)
        table.add_row(*row)
    console().print(table)
