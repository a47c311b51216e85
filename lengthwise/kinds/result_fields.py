"""Which fields the results of this installation may have, for the filters of webhooks."""

from lengthwise.kinds import KINDS
from lengthwise.kinds.openai.moderations import CATEGORIES
from lengthwise.models.catalog import Catalog
from lengthwise.result_field import ANY, OF_RESULTS, OUTPUT, FieldPath

#: Names that classifiers' labels often have. A filter may name them before a model that has them is installed.
_CATEGORIES = frozenset((OUTPUT, part, name) for part in ("categories", "scores") for name in CATEGORIES)


def known(catalog: Catalog) -> frozenset[FieldPath]:
    """The fields of every result, and of the outputs of all kinds. Any output's, if a kind does not declare its own."""
    found = set(OF_RESULTS | _CATEGORIES)
    for name, kind in KINDS.usable().items():
        declared = kind.output_fields(catalog.serving(name))
        found |= {(OUTPUT, ANY)} if declared is None else {(OUTPUT, *path) for path in declared}
    return frozenset(found)
