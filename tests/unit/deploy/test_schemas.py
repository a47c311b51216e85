"""The rendered objects against the schemas of Kubernetes itself."""

import pytest

from tests.unit.deploy.manifests import OVERLAYS, rendered

#: Objects of operators, which Kubernetes has no schema for.
OF_OPERATORS = {"ScaledObject", "PodMonitor"}
#: The oldest version for which the manifests are meant, and one of the newest.
VERSIONS = ("1.27", "1.33")


@pytest.mark.kubernetes
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_would_accept_it(overlay: str, version: str) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="make test-kubernetes installs it").validate
    checked = [each for each in rendered(overlay) if each["kind"] not in OF_OPERATORS]
    assert len(checked) > 15
    for each in checked:
        validate(each, version, strict=True)


@pytest.mark.kubernetes
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_misspelled_field_is_noticed() -> None:
    package = pytest.importorskip("kubernetes_validate", reason="make test-kubernetes installs it")
    service = next(each for each in rendered("production") if each["kind"] == "Service")
    with pytest.raises(package.ValidationError):
        package.validate({**service, "spec": {**service["spec"], "prots": []}}, VERSIONS[0], strict=True)
