"""Judges what pip-audit and the bill of materials say of the installed packages. ``make audit`` runs it."""

import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

#: Packages that are in no public index, and so in no list of advisories.
_OURS = frozenset({"lengthwise"})
#: Licences that ask for no more than their notice. The words of classifiers, of SPDX and of free texts are all used.
_PERMISSIVE = re.compile(
    r"\b(MIT|MIT-0|0BSD|BSD|Apache|ISC|PSF|Python Software Foundation|PSFL|Unlicense|Zlib|Public Domain|CC0|HPND|"
    r"PostgreSQL|MPL-2\.0|Mozilla Public License 2\.0|UNICODE|Unicode|CNRI)",
    re.IGNORECASE,
)
#: Other licences, and unread ones, each with the reason why the package may stay.
EXCEPTIONS: Mapping[str, str] = {
    "psycopg": "LGPL 3: imported as it is, and replaceable by whoever installs it",
    "psycopg-binary": "LGPL 3: imported as it is, and replaceable by whoever installs it",
    "transformers": "Apache 2.0, which its metadata writes in a form that the bill of materials does not read",
}


class Finding(NamedTuple):
    package: str
    problem: str


def vulnerabilities(report: Mapping[str, Any]) -> list[Finding]:
    """Known vulnerabilities, from pip-audit's JSON. A package without advisory data is a finding too."""
    found = []
    for each in report["dependencies"]:
        if each["name"] in _OURS:
            continue
        if "skip_reason" in each:
            found.append(Finding(each["name"], "no advisory data could be reached"))
        for known in each.get("vulns", ()):
            fixed = ", ".join(known["fix_versions"]) or "no release yet"
            found.append(Finding(each["name"], f"{each['version']} has {known['id']}; mended in {fixed}"))
    return found


def unaudited(report: Mapping[str, Any], materials: Mapping[str, Any]) -> list[Finding]:
    """Packages of the bill of materials that pip-audit did not see."""
    seen = {_plain(each["name"]) for each in report["dependencies"]} | _OURS
    missing = [each["name"] for each in materials["components"] if _plain(each["name"]) not in seen]
    return [Finding(name, "was not audited") for name in missing]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def licences(materials: Mapping[str, Any]) -> list[Finding]:
    """Packages whose licence is not known to be permissive, from a CycloneDX bill of materials."""
    found = []
    for each in materials["components"]:
        named = list(_licence_names(each.get("licenses", ())))
        is_ours = each["name"].lower() in _OURS or each["name"].lower() in EXCEPTIONS
        if not is_ours and not any(_PERMISSIVE.search(name) for name in named):
            found.append(Finding(each["name"], f"licence: {', '.join(named)[:80] or 'none is named'}"))
    return found


def _licence_names(licences: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for each in licences:
        if "expression" in each:
            yield each["expression"]
        else:
            yield each["license"].get("id") or each["license"]["name"]


def main(audited: Path, materials: Path) -> int:
    """Prints the findings. Returns 1 if there is one."""
    report, bill = json.loads(audited.read_text()), json.loads(materials.read_text())
    found = vulnerabilities(report) + unaudited(report, bill) + licences(bill)
    console = Console()
    unreached = [each for each in found if each.problem == "no advisory data could be reached"]
    table = Table("package", "finding", title=f"{len(bill['components'])} packages; bill of materials: {materials}")
    for each in found:
        if each not in unreached:
            table.add_row(*each)
    if table.row_count:
        console.print(table)
    if unreached:
        console.print(
            f"for {len(unreached)} packages no advisory data could be reached: run this where pypi.org can be reached"
        )
    if not found:
        console.print(f"no known vulnerability and no other licence in {len(bill['components'])} packages: {materials}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
