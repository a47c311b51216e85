"""Translates a product catalogue: it reads a CSV file and writes it again with a translation for each text.

    python -m examples.catalogue examples/catalogue.csv translated.csv --columns name description

LENGTHWISE_URL names the API (``lengthwise up`` serves http://127.0.0.1:8000). A catalogue of any size needs memory for
one row only: items are sent as they are read, and results arrive in the same order.
"""

import argparse
import csv
import hashlib
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from lengthwise import Client

Row = dict[str, str]


def rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file, strict=True)


def items(path: Path, columns: list[str]) -> Iterator[dict[str, Any]]:
    """Yields an item for each text that is not empty. The item's id names its row and column."""
    for number, row in enumerate(rows(path), 2):
        for column in columns:
            if row[column].strip():
                yield {"id": f"row {number}, {column}", "text": row[column]}


def translate(client: Client, source: Path, target: Path, columns: list[str], pair: tuple[str, str]) -> int:
    """Writes ``target``. Returns how many texts failed. After a crash, a second run finds the first run's job."""
    named = f"{hashlib.sha256(source.read_bytes()).hexdigest()} {columns} {pair}"
    key = "catalogue-" + hashlib.sha256(named.encode()).hexdigest()
    texts = items(source, columns)
    job = client.submit(texts, kind="translate", source=pair[0], target=pair[1], idempotency_key=key)
    print(f"job {job.id}: {job.counts.total} texts", file=sys.stderr)
    results = job.wait().results()
    with target.open("w", encoding="utf-8", newline="") as file:
        names = [f"{column}_{pair[1]}" for column in columns]
        writer: csv.DictWriter[str] | None = None
        for row in rows(source):
            if writer is None:
                writer = csv.DictWriter(file, [*row, *names])
                writer.writeheader()
            asked = [name for column, name in zip(columns, names, strict=True) if row[column].strip()]
            for name, result in zip(asked, islice(results, len(asked)), strict=True):
                row[name] = result.text or ""
                if result.error:
                    print(f"{result.id}: {result.error.code}, {result.error.message}", file=sys.stderr)
            writer.writerow(row)
    return job.counts.failed


def main() -> None:
    parser = argparse.ArgumentParser(description="Translates columns of a CSV file.")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--columns", nargs="+", default=["text"])
    parser.add_argument("--from", dest="origin", default="zh")
    parser.add_argument("--to", default="en")
    given = parser.parse_args()
    with Client() as client:
        failed = translate(client, given.source, given.target, given.columns, (given.origin, given.to))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
