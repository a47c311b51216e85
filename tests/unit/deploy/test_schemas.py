"""The rendered objects against the schemas of Kubernetes itself."""

import pytest

from tests.unit.deploy.manifests import OVERLAYS, rendered

#: Objects of operators, which Kubernetes has no schema for.
OF_OPERATORS = {"ScaledObject", "PodMonitor"}
NEWEST = "newest"


@pytest.mark.kubernetes
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("version", ["1.30", NEWEST])
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_would_accept_it(overlay: str, version: str) -> None:
    package = pytest.importorskip("kubernetes_validate", reason="make test-kubernetes installs it")
    checked = [each for each in rendered(overlay) if each["kind"] not in OF_OPERATORS]
    assert len(checked) > 15
    for each in checked:
        package.validate(each, package.latest_version() if version == NEWEST else version, strict=True)


@pytest.mark.kubernetes
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_misspelled_field_is_noticed() -> None:
    package = pytest.importorskip("kubernetes_validate", reason="make test-kubernetes installs it")
    service = next(each for each in rendered("production") if each["kind"] == "Service")
    with pytest.raises(package.ValidationError):
        package.validate({**service, "spec": {**service["spec"], "prots": []}}, package.latest_version(), strict=True)
