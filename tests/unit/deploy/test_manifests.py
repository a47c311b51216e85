"""The manifests as they are written: they agree with the settings, the images, and with what a pod may do."""

import re
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from pathlib import Path

import pytest
import yaml

from lengthwise.models.catalog import Catalog
from lengthwise.settings import PUBLISHED_SECRETS, Settings
from lengthwise.webhooks.reserved import RESERVED
from tests.unit.deploy import manifests, rules
from tests.unit.deploy.manifests import FOLDER, ROOT, Manifest, containers, find, objects, pod

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
BASE = manifests.variables(FOLDER / "base" / "settings.env")

OURS = [each for each in objects("base") if each["kind"] in manifests.WORKLOADS]
EVERY = OURS + [each for each in objects("overlays/local") if each["kind"] in manifests.WORKLOADS]
#: Settings of libraries.
NOT_OURS = {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}


def name_of(manifest: Manifest) -> str:
    return str(manifest["metadata"]["name"])


def pod_labels(workload: Manifest) -> dict[str, str]:
    found: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return found


def deployment(name: str) -> Manifest:
    return find("Deployment", name)


def test_there_are_the_parts_of_an_installation() -> None:
    assert {(each["kind"], name_of(each)) for each in OURS} == {
        ("Job", "migrate"),
        ("Deployment", "api"),
        ("Deployment", "generate"),
        ("Deployment", "deliver"),
    }


def test_every_file_belongs_to_a_kustomization() -> None:
    for folder in {path.parent for path in FOLDER.rglob("*") if path.is_file()}:
        text = (folder / "kustomization.yaml").read_text("utf-8")
        for path in folder.iterdir():
            assert path.is_dir() or path.name == "kustomization.yaml" or path.name in text, path


@pytest.mark.parametrize("workload", EVERY, ids=name_of)
def test_a_pod_is_restricted_limited_and_watched(workload: Manifest) -> None:
    rules.check_pod(workload)


@pytest.mark.parametrize("name", ["api", "generate", "deliver"])
def test_a_part_waits_for_the_schema_spreads_and_is_drained_one_by_one(name: str) -> None:
    spec = pod(deployment(name))
    (waits,) = spec["initContainers"]
    assert waits["command"][:3] == ["lengthwise", "migrate", "--wait"] and float(waits["command"][3]) > 0
    assert waits["image"] == spec["containers"][0]["image"]
    assert {each["topologyKey"] for each in spec["topologySpreadConstraints"]} == {
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    }
    assert find("PodDisruptionBudget", name)["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize("workload", OURS, ids=name_of)
def test_selectors_find_their_pods(workload: Manifest) -> None:
    labels = pod_labels(workload)
    assert labels == {
        "app.kubernetes.io/part-of": "lengthwise",
        "app.kubernetes.io/component": name_of(workload),
    }
    selected = workload["spec"].get("selector", {"matchLabels": labels})["matchLabels"]
    assert selected.items() <= labels.items()


class TestSettings:
    """The ConfigMap and the variables of containers."""

    @pytest.mark.parametrize(("path", "named"), list(manifests.generated_settings()), ids=lambda each: str(each)[:40])
    def test_each_is_a_setting_and_valid(
        self, path: str, named: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ours = named.keys() - NOT_OURS
        known = {f"LENGTHWISE_{field.upper()}" for field in Settings.model_fields}
        assert ours - known == set(), path
        for name in ours:
            monkeypatch.setenv(name, named[name])
        Settings()

    @pytest.mark.parametrize("workload", OURS, ids=name_of)
    def test_the_variables_of_containers_are_settings(self, workload: Manifest) -> None:
        known = {f"LENGTHWISE_{field.upper()}" for field in Settings.model_fields}
        assert rules.variables_of(workload) <= known

    def test_the_example_of_models_is_valid(self) -> None:
        for path in FOLDER.rglob("models.toml"):
            assert Catalog.read(path).models, path

    def test_the_catalog_and_the_models_are_where_the_settings_say(self) -> None:
        for name in ("api", "generate"):
            spec = pod(deployment(name))
            mounts = {mount["mountPath"]: mount["name"] for mount in spec["containers"][0]["volumeMounts"]}
            assert mounts[str(Path(BASE["LENGTHWISE_MODELS"]).parent)] == "models-toml"
            assert mounts["/models"] == "models"

    @pytest.mark.parametrize("name", ["generate", "deliver"])
    def test_kubernetes_waits_longer_than_a_worker_needs(self, name: str) -> None:
        grace = float(BASE.get("LENGTHWISE_GRACE_SECONDS", Settings().grace_seconds))
        assert grace >= Settings().grace_seconds
        assert pod(deployment(name))["terminationGracePeriodSeconds"] >= grace + 15

    def test_kubernetes_waits_until_the_api_has_ended_its_requests(self) -> None:
        spec = pod(deployment("api"))
        pause = int(spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
        assert spec["terminationGracePeriodSeconds"] > pause + 20

    def test_there_is_room_for_the_bodies_of_requests(self) -> None:
        (tmp,) = [volume for volume in pod(deployment("api"))["volumes"] if volume["name"] == "tmp"]
        assert int(tmp["emptyDir"]["sizeLimit"].removesuffix("Gi")) * 2**30 > 1.25 * Settings().max_spooled_bytes


class TestImages:
    """The Dockerfile and docker-compose.yml."""

    @pytest.mark.parametrize("workload", OURS, ids=name_of)
    def test_images_are_those_that_compose_builds(self, workload: Manifest) -> None:
        service = {"generate": "worker"}.get(name_of(workload), name_of(workload))
        assert {each["image"] for each in containers(workload)} == {COMPOSE["services"][service]["image"]}

    def test_the_user_is_that_of_the_image(self) -> None:
        uid = int((re.search(r"useradd .*--uid (\d+)", DOCKERFILE) or pytest.fail("no user"))[1])
        for workload in OURS:
            context = pod(workload)["securityContext"]
            assert context["runAsUser"] == context["runAsGroup"] == context["fsGroup"] == uid

    def test_commands_are_those_of_compose(self) -> None:
        for name, service in {"migrate": "migrate", "generate": "worker", "deliver": "deliver"}.items():
            (workload,) = [each for each in OURS if name_of(each) == name]
            assert pod(workload)["containers"][0]["command"] == COMPOSE["services"][service]["command"]
        assert f"CMD {str(pod(deployment('api'))['containers'][0]['command']).replace(chr(39), chr(34))}" in DOCKERFILE

    def test_ports_are_those_of_the_image_and_of_the_settings(self) -> None:
        ports = {port["name"]: port["containerPort"] for port in pod(deployment("api"))["containers"][0]["ports"]}
        assert f"EXPOSE {ports['http']}\n" in DOCKERFILE
        for workload in OURS:
            for port in pod(workload)["containers"][0].get("ports", ()):
                assert port["name"] == "http" or str(port["containerPort"]) == BASE["LENGTHWISE_METRICS_PORT"]


class TestSecrets:
    """Each part has those secrets that it needs, as in docker-compose.yml."""

    def test_each_part_has_its_own(self) -> None:
        assert {name_of(each): rules.secrets_of(each) for each in OURS} == {
            "migrate": {"servers"},
            "api": {"servers", "keys", "webhooks"},
            "deliver": {"servers", "webhooks"},
            "generate": {"servers"},
        }

    def test_no_file_but_that_of_a_local_trial_holds_one(self) -> None:
        for path, found in manifests.written().items():
            for document in found:
                assert document["kind"] != "Secret"
                assert "secretGenerator" not in document or path == "overlays/local/kustomization.yaml"

    def test_those_of_the_local_trial_are_the_published_ones(self) -> None:
        (overlay,) = manifests.documents(FOLDER / "overlays" / "local" / "kustomization.yaml")
        literals = [literal for generator in overlay["secretGenerator"] for literal in generator["literals"]]
        named = {name.replace("-", "_"): value for name, value in (each.split("=", 1) for each in literals)}
        assert {name: named[name] for name in PUBLISHED_SECRETS} == PUBLISHED_SECRETS


class TestNetwork:
    """The network policies."""

    def test_everything_is_refused_that_no_policy_allows(self) -> None:
        assert find("NetworkPolicy", "refuse-all")["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}

    def test_webhooks_reach_exactly_the_public_addresses(self) -> None:
        spec = find("NetworkPolicy", "webhooks")["spec"]
        assert spec["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "deliver"
        (allowed,) = spec["egress"]
        excepted = {peer["ipBlock"]["cidr"]: peer["ipBlock"]["except"] for peer in allowed["to"]}
        v4 = [row.network for row in RESERVED if isinstance(row.network, IPv4Network)]
        v6 = [row.network for row in RESERVED if isinstance(row.network, IPv6Network)]
        global_v6 = [network for network in v6 if network.subnet_of(IPv6Network("2000::/3"))]
        assert excepted == {
            "0.0.0.0/0": [str(network) for network in collapse_addresses(v4)],
            "2000::/3": [str(network) for network in collapse_addresses(global_v6)],
        }

    def test_only_the_delivery_worker_reaches_the_internet(self) -> None:
        for folder in ("base", "components", "overlays"):
            for policy in [each for each in objects(folder) if each["kind"] == "NetworkPolicy"]:
                blocks = [
                    peer["ipBlock"]["cidr"]
                    for rule in policy["spec"].get("egress", ())
                    for peer in rule["to"]
                    if "ipBlock" in peer
                ]
                assert name_of(policy) == "webhooks" or all(ip_network(block).is_private for block in blocks)

    def test_every_port_that_is_reached_is_one_of_ours(self) -> None:
        ports = {
            port["containerPort"] for each in EVERY for one in pod(each)["containers"] for port in one.get("ports", ())
        }
        for folder in ("base", "components", "overlays"):
            for policy in [each for each in objects(folder) if each["kind"] == "NetworkPolicy"]:
                for rule in policy["spec"].get("ingress", ()):
                    assert {port["port"] for port in rule["ports"]} <= ports, name_of(policy)


class TestComponents:
    """What an overlay may add."""

    def test_keda_asks_the_api_and_has_the_limits_of_the_settings(self) -> None:
        spec = find("ScaledObject", "generate", "components/keda")["spec"]
        assert spec["scaleTargetRef"] == {"kind": "Deployment", "name": "generate"}
        ((_, literals),) = [each for each in manifests.generated_settings() if each[0].startswith("components/keda")]
        assert str(spec["maxReplicaCount"]) == literals["LENGTHWISE_SCALING_MAX_WORKERS"]
        assert spec["minReplicaCount"] == Settings().scaling_min_workers == 0
        (trigger,) = spec["triggers"]
        (service,) = [each for each in objects("base") if each["kind"] == "Service" and name_of(each) == "api-metrics"]
        (port,) = service["spec"]["ports"]
        namespace = find("Namespace", "lengthwise", "overlays/production")["metadata"]["name"]
        assert trigger["type"] == "metrics-api"
        assert trigger["metadata"] == {
            "url": f"http://api-metrics.{namespace}.svc.cluster.local:{port['port']}/scaling",
            "valueLocation": "desired",
            "targetValue": "1",
        }

    def test_prometheus_scrapes_every_part_that_has_metrics_under_the_job_of_the_alerts(self) -> None:
        spec = find("PodMonitor", "lengthwise", "components/monitoring")["spec"]
        (endpoint,) = spec["podMetricsEndpoints"]
        (expression,) = spec["selector"]["matchExpressions"]
        parts = {
            name_of(workload)
            for workload in OURS
            for port in pod(workload)["containers"][0].get("ports", ())
            if port["name"] == endpoint["port"]
        }
        assert (expression["key"], expression["operator"]) == ("app.kubernetes.io/component", "In")
        assert set(expression["values"]) == parts == {"api", "generate", "deliver"}
        job = pod_labels(deployment("api"))[spec["jobLabel"]]
        alerts = (ROOT / "deploy" / "monitoring" / "alerts.yml").read_text("utf-8")
        dashboard = (ROOT / "deploy" / "monitoring" / "dashboard.json").read_text("utf-8")
        jobs = set(re.findall(r'job=\\?"([^"\\]+)', alerts + dashboard))
        assert {job} == jobs

    def test_prometheus_reaches_the_pods_that_it_scrapes(self) -> None:
        monitor = find("PodMonitor", "lengthwise", "components/monitoring")["spec"]
        policy = find("NetworkPolicy", "monitoring", "components/monitoring")["spec"]
        assert policy["podSelector"]["matchLabels"] == monitor["selector"]["matchLabels"]
        (rule,) = policy["ingress"]
        assert [str(port["port"]) for port in rule["ports"]] == [BASE["LENGTHWISE_METRICS_PORT"]]

    def test_the_ingress_has_the_limits_of_the_api(self) -> None:
        annotations = find("Ingress", "api", "components/ingress")["metadata"]["annotations"]
        named = {name.rpartition("/")[2]: value for name, value in annotations.items()}
        assert int(named["proxy-body-size"].removesuffix("g")) * 2**30 == Settings().max_body_bytes
        assert int(named["limit-connections"]) == Settings().max_connections_per_address
        assert int(named["proxy-send-timeout"]) == Settings().download_seconds
        proxy = (ROOT / "docs" / "reverse-proxy.md").read_text("utf-8")
        assert f"client_max_body_size {named['proxy-body-size']};" in proxy
        assert f"proxy_next_upstream {named['proxy-next-upstream']};" in proxy
        assert f"proxy_max_temp_file_size {named['proxy-max-temp-file-size']};" in proxy
        assert f"limit_conn callers {named['limit-connections']};" in proxy
        assert int(named["proxy-read-timeout"]) == 3600 and "proxy_read_timeout 1h;" in proxy

    def test_a_worker_with_a_gpu_has_nodes_that_have_one(self) -> None:
        (patch,) = manifests.documents(FOLDER / "components" / "gpu" / "generate.yaml")
        spec = pod(patch)
        (container,) = spec["containers"]
        resources = container["resources"]
        assert resources["limits"]["nvidia.com/gpu"] == resources["requests"]["nvidia.com/gpu"] == "1"
        assert spec["tolerations"] and spec["nodeSelector"]
        (shm,) = spec["volumes"]
        assert shm["emptyDir"]["medium"] == "Memory" and shm["emptyDir"]["sizeLimit"]
        assert container["volumeMounts"] == [{"name": "shm", "mountPath": "/dev/shm"}]  # noqa: S108 - a mount
