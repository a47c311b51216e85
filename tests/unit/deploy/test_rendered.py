"""The overlays as kubectl renders them: the same rules hold, and what is referred to is there."""

import pytest

from tests.unit.deploy import rules
from tests.unit.deploy.manifests import OVERLAYS, WORKLOADS, Manifest, pod, rendered


def of_kind(overlay: str, *kinds: str) -> dict[str, Manifest]:
    return {each["metadata"]["name"]: each for each in rendered(overlay) if each["kind"] in kinds}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_restricted_limited_and_watched(overlay: str) -> None:
    found = of_kind(overlay, *WORKLOADS)
    assert found.keys() >= {"api", "generate", "deliver", "migrate"}
    for workload in found.values():
        rules.check_pod(workload)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_everything_is_in_one_restricted_namespace(overlay: str) -> None:
    (namespace,) = of_kind(overlay, "Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for each in rendered(overlay):
        if each["kind"] != "Namespace":
            assert each["metadata"]["namespace"] == namespace["metadata"]["name"], each["metadata"]["name"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_config_map_and_secret_is_there(overlay: str) -> None:
    maps, secrets = of_kind(overlay, "ConfigMap"), of_kind(overlay, "Secret")
    for workload in of_kind(overlay, *WORKLOADS).values():
        assert rules.config_maps_of(workload) <= maps.keys()
        if overlay == "local":
            assert rules.secrets_of(workload) <= secrets.keys()
    assert bool(secrets) == (overlay == "local")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_settings_of_all_parts_are_merged(overlay: str) -> None:
    (settings,) = [each for name, each in of_kind(overlay, "ConfigMap").items() if name.startswith("settings-")]
    assert settings["data"]["LENGTHWISE_METRICS_PORT"] == "9464"
    assert settings["data"]["LENGTHWISE_LOG_FORMAT"] == "json"
    assert settings["data"]["LENGTHWISE_MODELS"] == ("" if overlay == "local" else "/etc/lengthwise/models.toml")
    rates = {"local": None, "production": "1000", "gpu": "20000"}
    assert settings["data"].get("LENGTHWISE_SCALING_TOKENS_PER_SECOND") == rates[overlay]
    assert ("LENGTHWISE_TRUSTED_PROXIES" in settings["data"]) == (overlay != "local")


def test_a_changed_catalog_is_read_without_a_restart() -> None:
    assert "models-toml" in of_kind("production", "ConfigMap")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_images_have_a_version(overlay: str) -> None:
    for workload in of_kind(overlay, *WORKLOADS).values():
        for container in [*pod(workload).get("initContainers", ()), *pod(workload)["containers"]]:
            name, _, tag = container["image"].partition(":")
            assert tag and tag != "latest", container["image"]
            assert name.startswith("registry.example/") or overlay == "local"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_who_is_scaled_states_no_number_of_its_own(overlay: str) -> None:
    scaled = {each["spec"]["scaleTargetRef"]["name"] for each in of_kind(overlay, "ScaledObject").values()}
    assert scaled == (set() if overlay == "local" else {"generate"})
    for name, workload in of_kind(overlay, "Deployment").items():
        assert ("replicas" in workload["spec"]) == (name not in scaled)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_servers_are_narrowed_down(overlay: str) -> None:
    policy = of_kind(overlay, "NetworkPolicy")["servers"]
    blocks = [peer["ipBlock"]["cidr"] for rule in policy["spec"]["egress"] for peer in rule["to"] if "ipBlock" in peer]
    assert "10.0.0.0/8" not in blocks
    assert policy["spec"]["podSelector"]["matchLabels"] == {"app.kubernetes.io/part-of": "lengthwise"}
    assert {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]} == {5432, 6379}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_models_come_from_the_claim_or_from_the_image(overlay: str) -> None:
    for name in ("api", "generate"):
        (models,) = [each for each in pod(of_kind(overlay, "Deployment")[name])["volumes"] if each["name"] == "models"]
        assert models.keys() - {"name"} == {"emptyDir" if overlay == "local" else "persistentVolumeClaim"}
    assert ("models" in of_kind(overlay, "PersistentVolumeClaim")) == (overlay != "local")


def test_only_the_gpu_overlay_asks_for_gpus_and_keeps_the_rest() -> None:
    for overlay in OVERLAYS:
        spec = pod(of_kind(overlay, "Deployment")["generate"])
        (container,) = spec["containers"]
        assert ("nvidia.com/gpu" in container["resources"]["limits"]) == (overlay == "gpu")
        assert ("tolerations" in spec) == (overlay == "gpu")
        assert {"tmp", "cache", "models", "models-toml"} <= {volume["name"] for volume in spec["volumes"]}
        assert ("shm" in {volume["name"] for volume in spec["volumes"]}) == (overlay == "gpu")
