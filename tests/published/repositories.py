"""All repositories of the fixture, and what builds one."""

from pathlib import Path

from tests.published.families import (
    classification,
    decoder_embedding,
    decoders,
    embedding,
    gemma,
    guards,
    llama,
    many_languages,
    qwen,
    refused,
    small,
    t5,
    translation,
)
from tests.published.forms import card
from tests.published.published import Published

_FAMILIES = (
    translation, many_languages, t5, llama, qwen, gemma, decoders, small, embedding, decoder_embedding, classification,
    guards, refused,
)  # fmt: skip

PUBLISHED = {repository.name: repository for family in _FAMILIES for repository in family.REPOSITORIES}


def build(name: str, folder: Path) -> Path:
    """Writes the repository into ``folder``, which must not exist; returns it. The same bytes each time.

    It takes at most some seconds. ``conftest.repository`` keeps what was built for the session.
    """
    published: Published = PUBLISHED[name]
    folder.mkdir(parents=True)
    for part in published.parts:
        part(folder)
    card.write_readme(folder, name, published.licence)
    return folder
