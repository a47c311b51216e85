"""``make audit`` fails for a known vulnerability, for a package without advisory data, and for an unusual licence."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.supply import audit

GOOD = {"name": "kombu", "version": "5.7", "vulns": []}
BAD = {"name": "kombu", "version": "5.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["5.7", "6.0"]}]}
OPEN = {"name": "kombu", "version": "5.0", "vulns": [{"id": "PYSEC-2", "fix_versions": []}]}
SKIPPED = {"name": "kombu", "skip_reason": "not found"}
OURS = {"name": "lengthwise", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "problems"),
    [
        ([GOOD, OURS], []),
        ([BAD], ["5.0 has PYSEC-1; mended in 5.7, 6.0"]),
        ([OPEN], ["5.0 has PYSEC-2; mended in no release yet"]),
        ([SKIPPED, GOOD], ["no advisory data could be reached"]),
    ],
)
def test_vulnerabilities_and_missing_data_are_findings(packages: list[dict[str, Any]], problems: list[str]) -> None:
    assert [found.problem for found in audit.vulnerabilities({"dependencies": packages})] == problems


def test_a_package_that_was_not_looked_at_is_a_finding() -> None:
    bill = {"components": [component("Kombu"), component("some_other.one"), component("lengthwise")]}
    assert audit.unaudited({"dependencies": [GOOD, {"name": "some-other-one"}]}, bill) == []
    assert [each.package for each in audit.unaudited({"dependencies": [GOOD]}, bill)] == ["some_other.one"]


def component(name: str, *licences: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "licenses": list(licences)}


@pytest.mark.parametrize("spdx", ["MIT", "BSD-3-Clause", "Apache-2.0", "PSF-2.0", "MIT AND PSF-2.0", "ISC"])
def test_permissive_licences_are_none(spdx: str) -> None:
    for licence in ({"license": {"id": spdx}}, {"license": {"name": f"{spdx} License"}}, {"expression": spdx}):
        assert audit.licences({"components": [component("some", licence)]}) == []


def test_other_licences_and_none_at_all_are_findings_unless_they_are_known() -> None:
    strict = component("strict", {"license": {"id": "AGPL-3.0-only"}})
    known = component("psycopg", {"license": {"id": "LGPL-3.0-only"}})
    found = audit.licences({"components": [strict, known, component("unnamed"), component("lengthwise")]})
    assert [each.package for each in found] == ["strict", "unnamed"]


def test_the_command_fails_with_a_finding_and_passes_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    materials = tmp_path / "sbom.json"
    materials.write_text(json.dumps({"components": [component("kombu", {"license": {"id": "BSD-3-Clause"}})]}))
    audited = tmp_path / "audit.json"
    for packages, code, words in (([GOOD], 0, "no known"), ([BAD], 1, "PYSEC-1"), ([SKIPPED], 1, "no advisory data")):
        audited.write_text(json.dumps({"dependencies": packages}))
        assert audit.main(audited, materials) == code
        assert words in capsys.readouterr().out
