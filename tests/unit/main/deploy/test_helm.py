"""The Helm chart: Helm lints and renders it, Kubernetes' schemas take what comes out, and what it names exists."""

import json
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import kubernetes_validate
import pytest
import yaml
from helm_python import Chart, lint
from helm_python.errors import HelmError

from mezzotint.domain.fleet.pool import Fleet
from mezzotint.policy.fleet.cluster_checks import find_resources
from mezzotint.policy.fleet.validation import read_document
from tests.deployment import DEPLOY, list_unknown_settings, parse_command, read_as_settings

CHART = DEPLOY / "helm" / "mezzotint"
KUBERNETES = "1.34"
EVERYTHING: dict[str, Any] = {
    "images": {"pullSecrets": ["registry"]},
    "s3": {"endpoint": "https://s3.example.org"},
    "provenanceSecret": "signer",
    "settings": {"MEZZOTINT_REUSE": "false"},
    "models": {"file": "[[models]]\nname = 'sdxl'\n", "claim": "weights"},
    "gateway": {"trustedProxies": "10.0.0.0/8", "autoscaling": {"enabled": True}, "nodeSelector": {"a": "b"}},
    "ingress": {"enabled": True, "className": "nginx", "tlsSecret": "tls", "annotations": {"a/b": "c"}},
    "workers": {"default": None, "big": {"replicas": 2, "resources": {}, "settings": {"MEZZOTINT_DTYPE": "bfloat16"}}},
    "networkPolicy": {"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}]},
}
FLEET: dict[str, Any] = {"fleet": {"enabled": True}, "workers": {"default": None}, "images": {"pullSecrets": ["one"]}}
CHOICES = pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])


def render(values: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects that Kubernetes is given."""
    with Chart.load(CHART) as chart:
        texts = chart.render(values, name="pictures", namespace="studio")
    documents = [yaml.safe_load_all(text) for name, text in texts.items() if name.endswith(".yaml")]
    return [found for document in documents for found in document if found]


def containers(manifests: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every pod's spec with its container."""
    for manifest in manifests:
        if manifest["kind"] == "Deployment":
            pod = manifest["spec"]["template"]["spec"]
            yield from ((pod, container) for container in pod["containers"])


def variables(container: dict[str, Any]) -> dict[str, str]:
    """What a container's environment sets; what comes from a Secret is filled in."""
    secrets = {"database": "postgresql://m:x@db/m", "token-secret": "x" * 32, "valkey": "valkey://valkey:6379"}
    found = {}
    for one in container["env"]:
        found[one["name"]] = one.get("value") or secrets.get(one["valueFrom"]["secretKeyRef"]["key"], "x")
    return found


@CHOICES
def test_helm_finds_nothing(values: dict[str, Any]) -> None:
    report = lint(CHART, values, strict=True)
    complaints = [one for one in report["messages"] if "icon is recommended" not in str(one)]
    assert complaints == [], report


@CHOICES
def test_kubernetes_takes_every_object(values: dict[str, Any]) -> None:
    manifests = render(values)
    for manifest in manifests:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    kinds = {manifest["kind"] for manifest in manifests}
    assert kinds >= {"Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy"}
    assert values == {} or kinds >= {"Ingress", "HorizontalPodAutoscaler", "ConfigMap"}
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]
    assert len(set(names)) == len(names)


@CHOICES
def test_commands_settings_and_ports_exist_and_no_secret_is_written(values: dict[str, Any]) -> None:
    manifests = render(values)
    assert not list_unknown_settings(yaml.safe_dump(manifests))
    for pod, container in containers(manifests):
        parse_command(container["args"])
        names = [one["name"] for one in container["env"]]
        assert len(set(names)) == len(names)
        settings = read_as_settings(variables(container))
        assert pod["terminationGracePeriodSeconds"] >= settings.drain_s + settings.shutdown_s + 3
        for name in ("DATABASE", "TOKEN_SECRET", "S3_SECRET_ACCESS_KEY"):
            (one,) = (one for one in container["env"] if one["name"] == f"MEZZOTINT_{name}")
            assert "secretKeyRef" in one["valueFrom"]
        if container["name"] == "gateway":
            assert container["ports"] == [{"name": "http", "containerPort": settings.port}]
        else:
            assert (settings.device, settings.pool) == ("cuda", "big" if values else "default")
            assert f":{settings.worker_metrics_port}/metrics" in str(container["livenessProbe"])
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}


@CHOICES
def test_pods_have_no_rights(values: dict[str, Any]) -> None:
    found = list(containers(render(values)))
    assert len(found) == 2
    for pod, container in found:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        rights = container["securityContext"]
        assert (rights["readOnlyRootFilesystem"], rights["capabilities"]) == (True, {"drop": ["ALL"]})


def test_selectors_find_the_pods_they_mean() -> None:
    manifests = render(EVERYTHING)
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in manifests if one["kind"] == "Deployment"]
    selectors = [one["spec"]["selector"] for one in manifests if one["kind"] == "Service"]
    selectors += [one["spec"]["selector"]["matchLabels"] for one in manifests if one["kind"] == "PodDisruptionBudget"]
    selectors += [one["spec"]["podSelector"]["matchLabels"] for one in manifests if one["kind"] == "NetworkPolicy"]
    found = [sum(selector.items() <= pod.items() for pod in labels) for selector in selectors]
    assert found == [1, 1, 1, 1, 2], "the last is what all pods may reach"


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"replicas": 2}, "replicas"),
        ({"gateway": {"replicas": 0}}, "minimum"),
        ({"settings": {"MEZZOTINT_REUSE": False}}, "string"),
        ({"settings": {"MEZZOTINT_DATABASE": "postgresql://m:secret@db/m"}}, "MEZZOTINT_DATABASE"),
        ({"images": {"worker": "mezzotint-worker"}}, "worker"),
        ({"workers": {"Big": {"replicas": 1, "resources": {}}}}, "Big"),
        ({"objects": "/srv/pictures"}, "s3"),
        ({"fleet": {"rayVersion": "latest"}}, "rayVersion"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(values: dict[str, Any], named: str) -> None:
    with Chart.load(CHART) as chart, pytest.raises(HelmError) as told:
        chart.validate_schema(values)
    assert re.search(named, str(told.value))


def ray_cluster() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What KubeRay is given, and the templates of its pods, the head's first."""
    (cluster,) = (one for one in render(FLEET) if one["kind"] == "RayCluster")
    spec = cluster["spec"]
    return cluster, [spec["headGroupSpec"]["template"], *(group["template"] for group in spec["workerGroupSpecs"])]


def test_kubernetes_takes_a_fleet_as_far_as_its_schemas_reach() -> None:
    """They have no RayCluster: its pods are tried as templates of pods, the rest of it is not."""
    report = lint(CHART, FLEET, strict=True)
    assert [one for one in report["messages"] if "icon is recommended" not in str(one)] == []
    manifests = render(FLEET)
    cluster, templates = ray_cluster()
    assert cluster["apiVersion"] == "ray.io/v1"
    pods = [
        {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "one"}, "template": one} for one in templates
    ]
    for manifest in [*(one for one in manifests if one["kind"] != "RayCluster"), *pods]:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    assert not [one for one in manifests if "-worker-" in one["metadata"]["name"]], "Ray starts the workers"


def test_the_fleets_file_command_and_nodes_belong_together() -> None:
    cluster, templates = ray_cluster()
    manifests = render(FLEET)
    (file,) = (one["data"]["fleet.toml"] for one in manifests if one["kind"] == "ConfigMap")
    fleet = read_document(tomllib.loads(file))
    assert isinstance(fleet, Fleet)
    groups = cluster["spec"]["workerGroupSpecs"]
    for pool in fleet.pools:
        wanted = find_resources(pool)
        offers = [
            {
                "CPU": float(group["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"]),
                "GPU": float(group["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]),
                **json.loads(json.loads(group["rayStartParams"]["resources"])),
            }
            for group in groups
        ]
        assert any(all(offer.get(name, 0.0) >= number for name, number in wanted.items()) for offer in offers)
    (head, *_) = (template["spec"]["containers"][0] for template in templates)
    (command,) = re.findall(r"mezzotint (fleet up .*) >/proc", head["lifecycle"]["postStart"]["exec"]["command"][2])
    given = parse_command(command.split())
    (service,) = (one for one in manifests if one["kind"] == "Service" and one["spec"].get("publishNotReadyAddresses"))
    assert given["ray"] == f"{service['metadata']['name']}.studio.svc:{service['spec']['ports'][0]['port']}"
    assert service["spec"]["selector"]["ray.io/cluster"] == cluster["metadata"]["name"]
    assert given["autoscaled"] is True
    assert cluster["spec"]["rayVersion"] == version("ray")


def test_rays_pods_have_no_rights_and_want_a_token() -> None:
    cluster, templates = ray_cluster()
    assert not list_unknown_settings(yaml.safe_dump(cluster))
    for template in templates:
        pod, (container,) = template["spec"], template["spec"]["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert {one["name"] for one in container["volumeMounts"]} == {one["name"] for one in pod["volumes"]}
        given = {one["name"]: one for one in container["env"]}
        assert given["RAY_AUTH_MODE"]["value"] == "token"
        assert "secretKeyRef" in given["RAY_AUTH_TOKEN"]["valueFrom"]
        settings = read_as_settings(variables({"env": [one for one in container["env"] if "MEZZ" in one["name"]]}))
        assert settings.worker_metrics_port == 0, "several workers may share a pod"
    grace_s = [one["spec"].get("terminationGracePeriodSeconds") for one in templates[1:]]
    assert grace_s == [settings.shutdown_s + 3]
    (policy,) = (
        one
        for one in render(FLEET)
        if one["kind"] == "NetworkPolicy" and one["spec"]["policyTypes"] == ["Ingress", "Egress"]
    )
    for template in templates:
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
