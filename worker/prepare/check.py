"""``lengthwise model check``: each thing that decides whether a model can be served, looked at in turn."""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lengthwise import settings
from lengthwise.errors import ConfigurationError, LengthwiseError
from lengthwise.models import manifest, model_file, template, tokenizer, usable, weights
from lengthwise.models.architecture import class_name
from lengthwise.models.catalog import Catalog, ModelSpec
from lengthwise.models.labels import Labels, listed
from lengthwise.models.listing import load_report
from lengthwise.models.pooling import Pooling
from lengthwise.models.published.naming import printable
from worker.engine.protocol import Architecture, EngineError
from worker.engine.transformer.decode import rules
from worker.engine.transformer.decode.vocabulary import Vocabulary
from worker.engine.transformer.engine import TorchEngine
from worker.engine.transformer.weights import loading
from worker.engine.transformer.weights.finite import refuse_infinite
from worker.importing.tokenizers.supply import check_ids
from worker.prepare import measure


class Finding(NamedTuple):
    """What was looked at, and what was found there, or why the model cannot be served."""

    what: str
    found: str
    is_right: bool = True


def check(name: str) -> bool:
    """Prints the findings for a model of ``models.toml``, up to the first that is wrong. Returns whether none is.

    Raises ``ConfigurationError`` if there is no such model.
    """
    path = settings.get().models
    models = Catalog.read(path).models
    if name not in models:
        raise ConfigurationError(f"{path} names no model {name}: it names {', '.join(models)}")
    findings = list(_findings(models[name]))
    table = Table("", "looked at", "found", box=None)
    for finding in findings:
        table.add_row(
            "[green]✓[/green]" if finding.is_right else "[red]✗[/red]",
            finding.what,
            Text(printable(finding.found), overflow="fold"),
        )  # no markup: it may show labels
    Console().print(table)
    return all(finding.is_right for finding in findings)


def _findings(spec: ModelSpec) -> Iterator[Finding]:
    looks: tuple[tuple[str, Callable[[ModelSpec], str | None]], ...] = (
        ("folder", _folder), ("config.json", _config), ("tokenizer", _tokenizer), ("chat template", _template),
        ("decoding rules", _decoding), ("labels", _labels), ("pooling", _pooling), ("weights", _weights),
        ("kinds", _kinds),
    )  # fmt: skip
    if spec.engine == "torch":
        looks += (("load and answer", _load),)
    for what, look in looks:
        try:
            found = look(spec)
        except (LengthwiseError, EngineError) as error:
            yield Finding(what, str(error), is_right=False)
            return
        if found is not None:
            yield Finding(what, found)


def _folder(spec: ModelSpec) -> str:
    folder = spec.folder
    model_file.verify(folder)
    listed_files = f", as its {manifest.MANIFEST} says" if manifest.exists(folder) else ""
    return f"{folder}, revision {spec.made_by}{listed_files}"


def _config(spec: ModelSpec) -> str:
    return (
        f"{class_name(spec.config)} ({spec.config.get('model_type')}, {loading.architecture(spec)}), "
        f"reads {spec.context} tokens"
    )


def _tokenizer(spec: ModelSpec) -> str:
    known = tokenizer.load(spec).vocabulary
    check_ids(spec.folder, spec.folder)
    return f"{len(known)} tokens"


def _template(spec: ModelSpec) -> str | None:
    if not any(options.needs_chat_template for options in spec.kind_options.values()):
        return None
    rendered = template.load(spec.folder).render([{"role": "user", "content": "Hello"}])
    return f"a user's message becomes {len(rendered)} characters"


def _decoding(spec: ModelSpec) -> str | None:
    if loading.architecture(spec) not in (Architecture.ENCODER_DECODER, Architecture.DECODER_ONLY):
        return None
    ends = Vocabulary.read(spec.folder, spec.config).ends
    left_out = rules.unapplied(spec.folder, spec.config, ends)
    return f"not applied: {', '.join(left_out)}; its answers may differ" if left_out else "all are applied"


def _labels(spec: ModelSpec) -> str | None:
    if loading.architecture(spec) is not Architecture.CLASSIFIER:
        return None
    labels = Labels.of(spec.config)
    return f"{'exclusive' if labels.are_exclusive else 'independent'}: {listed(labels.names)}"


def _pooling(spec: ModelSpec) -> str | None:
    if loading.architecture(spec) is not Architecture.EMBEDDER:
        return None
    pooling = Pooling.read(spec.folder)
    return f"{pooling.mode}, {'normalized' if pooling.normalizes else 'not normalized'}"


def _weights(spec: ModelSpec) -> str:
    n_files = len(weights.weight_files(spec.folder))
    if spec.engine == "torch":
        refuse_infinite(loading.load_weights(spec))
    return f"{weights.weights_bytes(spec.folder) / 1e6:.1f} MB in {n_files} file{'s' * (n_files != 1)}"


def _kinds(spec: ModelSpec) -> str:
    usable.check(spec, is_local=True)
    return ", ".join(spec.kinds) or "none: its table has no kind"


def _load(spec: ModelSpec) -> str:
    began = time.perf_counter()
    engine = TorchEngine.load(spec)
    seconds = time.perf_counter() - began
    figures = measure.figures(engine, spec)
    # The hub's cache is the hub's, whatever a repository holds.
    is_written = spec.hub is None and load_report.renew(spec.folder, figures)
    return f"loaded in {seconds:.1f} s; {figures.line}" + (f"; {manifest.REPORT} says so now" if is_written else "")
