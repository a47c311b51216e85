"""What holds for every pod: it is restricted, limited and watched. For manifests as written and as rendered."""

from typing import Any

from tests.unit.deploy.manifests import Manifest, containers, pod


def check_pod(workload: Manifest) -> None:
    """The pod can do what the standard "restricted" allows, and asks Kubernetes for nothing."""
    spec = pod(workload)
    context = spec["securityContext"]
    assert context["runAsNonRoot"] is True and context["runAsUser"] > 0
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert spec["serviceAccountName"] == "lengthwise"
    assert spec["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    for volume in spec["volumes"]:
        assert "hostPath" not in volume
        if "emptyDir" in volume:
            assert volume["emptyDir"]["sizeLimit"], volume["name"]
        if "persistentVolumeClaim" in volume:
            assert volume["persistentVolumeClaim"]["readOnly"] is True
    for container in containers(workload):
        _check_container(container)
    for container in spec["containers"]:
        if workload["kind"] != "Job":
            _check_probes(container)


def _check_container(container: Manifest) -> None:
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    resources = container["resources"]
    assert resources["requests"].keys() >= {"cpu", "memory", "ephemeral-storage"}
    assert resources["limits"].keys() >= {"memory", "ephemeral-storage"}
    assert "cpu" not in resources["limits"], "a limit would throttle it although the node is idle"
    assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}  # noqa: S108 - a mount
    for mount in container["volumeMounts"]:
        assert mount.get("readOnly") is (True if mount["name"].startswith("models") else None)


def _check_probes(container: Manifest) -> None:
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = container[name]
        assert probe["timeoutSeconds"] >= 5, "a busy node answers late"
        if "httpGet" in probe:
            assert probe["httpGet"]["port"] in {port["name"] for port in container["ports"]}
            assert probe["httpGet"]["path"] == ("/readyz" if name == "readinessProbe" else "/healthz")


def secrets_of(workload: Manifest) -> set[str]:
    """The secrets that any container of the pod reads."""
    return {reference["name"] for reference in _references(workload, "secretKeyRef")}


def variables_of(workload: Manifest) -> set[str]:
    return {variable["name"] for container in containers(workload) for variable in container.get("env", ())}


def _references(workload: Manifest, kind: str) -> list[dict[str, Any]]:
    environments = [variable for container in containers(workload) for variable in container.get("env", ())]
    return [each["valueFrom"][kind] for each in environments if kind in each.get("valueFrom", ())]


def config_maps_of(workload: Manifest) -> set[str]:
    """The ConfigMaps that the pod reads, as variables or as files."""
    sources = [source for container in containers(workload) for source in container.get("envFrom", ())]
    mounted = [volume["configMap"]["name"] for volume in pod(workload)["volumes"] if "configMap" in volume]
    return {source["configMapRef"]["name"] for source in sources} | set(mounted)
