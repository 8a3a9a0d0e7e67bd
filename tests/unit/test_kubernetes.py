"""The manifests of deploy/kubernetes are what Kubernetes and KEDA take, and say what Compose says."""

import importlib.metadata
import re
from pathlib import Path
from typing import Any, Literal

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field

from producer.listening.settings import ListenSettings
from producer.metrics import Figures
from tests.unit.test_compose import COMPOSE, SERVICES
from worker.settings import WorkerSettings

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
OBJECTS: list[dict[str, Any]] = [
    one for path in sorted(FOLDER.glob("*.yaml")) for one in yaml.safe_load_all(path.read_text())
]
DEPLOYMENTS = {one["metadata"]["name"]: one for one in OBJECTS if one["kind"] == "Deployment"}
SCALED = {one["metadata"]["name"]: one for one in OBJECTS if one["kind"] == "ScaledObject"}
KNOWN = {f"LOOKALIKE_{name.upper()}" for name in WorkerSettings.model_fields | ListenSettings.model_fields}
KNOWN |= {"OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "FLOWER_BASIC_AUTH", "FLOWER_MAX_TASKS", "REDIS_HOST"}
# The oldest that is supported upstream as this is written, and the newest that the schemas are of.
VERSIONS = ("1.34", "1.37")


class Strict(BaseModel):
    """No field that is not named."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Prometheus(Strict):
    """The metadata of KEDA's Prometheus scaler: keda.sh/docs/2.17/scalers/prometheus."""

    serverAddress: str = Field(pattern=r"^https?://")  # noqa: N815 - KEDA's name
    query: str
    threshold: str = Field(pattern=r"^[0-9]+$")


class Trigger(Strict):
    """What it scales by."""

    type: Literal["prometheus"]
    metadata: Prometheus


class Target(Strict):
    """A Deployment, unless it says otherwise."""

    name: str


class Fallback(Strict):
    """How many while the trigger cannot be read."""

    failureThreshold: int = Field(ge=1)  # noqa: N815 - KEDA's name
    replicas: int = Field(ge=0)


class ScaledObjectSpec(Strict):
    """Of keda.sh/v1alpha1, as its reference has it (keda.sh/docs/2.17/reference/scaledobject-spec), as far as used."""

    scaleTargetRef: Target  # noqa: N815 - KEDA's name
    minReplicaCount: int = Field(ge=0)  # noqa: N815 - KEDA's name
    maxReplicaCount: int = Field(ge=1)  # noqa: N815 - KEDA's name
    cooldownPeriod: int = Field(ge=0)  # noqa: N815 - KEDA's name
    fallback: Fallback
    triggers: list[Trigger] = Field(min_length=1)


def container(name: str) -> dict[str, Any]:
    """The one container of a Deployment."""
    (found,) = DEPLOYMENTS[name]["spec"]["template"]["spec"]["containers"]
    return dict(found)


def environment(name: str) -> dict[str, str]:
    """What a container is told, but for what all are."""
    return {one["name"]: one["value"] for one in container(name)["env"]}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "found",
    [one for one in OBJECTS if one["kind"] not in {"ScaledObject", "Kustomization"}],
    ids=lambda one: f"{one['kind']} {one['metadata']['name']}",
)
def test_kubernetes_takes_it(found: dict[str, Any], version: str) -> None:
    """Against Kubernetes' own schema, where a field that it does not know is an error."""
    kubernetes_validate.validate(found, version, strict=True)


@pytest.mark.parametrize("name", SCALED)
def test_keda_takes_it(name: str) -> None:
    """Against the fields that KEDA has."""
    assert SCALED[name].keys() == {"apiVersion", "kind", "metadata", "spec"}
    assert SCALED[name]["apiVersion"] == "keda.sh/v1alpha1"
    spec = ScaledObjectSpec.model_validate(SCALED[name]["spec"])
    assert spec.minReplicaCount < spec.maxReplicaCount
    # What KEDA scales has no number of its own, or each `kubectl apply` would set it back.
    assert "replicas" not in DEPLOYMENTS[spec.scaleTargetRef.name]["spec"]


def test_keda_scales_by_figures_that_there_are() -> None:
    """The exporter tells what the queries name."""
    assert {"summary", "queues"} <= Figures.__dataclass_fields__.keys()
    named = {
        name
        for one in SCALED.values()
        for trigger in one["spec"]["triggers"]
        for name in re.findall(r"lookalike_\w+", trigger["metadata"]["query"])
    }
    assert named == {"lookalike_outstanding_events", "lookalike_queue_messages"}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_it_runs_what_compose_runs(name: str) -> None:
    """The same command, image, users and files of secrets."""
    assert container(name)["args"] == SERVICES[name]["command"]
    assert container(name)["image"] == f"lookalike:{importlib.metadata.version('lookalike')}"
    told = COMPOSE["services"][name]["environment"]
    for variable, value in environment(name).items():
        if variable.endswith("_URL"):
            assert value.replace("$(REDIS_HOST)", "redis") == told[variable]
        elif variable.endswith("_FILE"):
            assert value.rpartition("/")[2].replace("-", "_") == told[variable].rpartition("/")[2]


def test_all_of_ours_is_there() -> None:
    """Each service of Compose that is ours is a Deployment."""
    assert DEPLOYMENTS.keys() == {name for name, service in SERVICES.items() if "build" in service}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_every_variable_is_a_setting(name: str) -> None:
    """Whoever sets one is not ignored."""
    (config,) = [one for one in OBJECTS if one["kind"] == "ConfigMap"]
    named = environment(name).keys() | config["data"].keys()
    assert {variable.removesuffix("_FILE") for variable in named} <= KNOWN


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_no_pod_has_more_than_it_needs(name: str) -> None:
    """Not root, nothing to write to but /tmp, no capabilities, no token, bounded memory and processors."""
    pod = DEPLOYMENTS[name]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container(name)["resources"]["limits"].keys() == {"cpu", "memory"}
    assert {"livenessProbe"} <= container(name).keys()


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_secrets_are_files_that_the_secret_has(name: str) -> None:
    """Each file that a variable names is mounted, and each that is mounted is named."""
    (secret,) = [one for one in OBJECTS if one["kind"] == "Secret"]
    (volume,) = [one["secret"] for one in DEPLOYMENTS[name]["spec"]["template"]["spec"]["volumes"] if "secret" in one]
    mounted = {item["path"] for item in volume["items"]}
    assert mounted == {value.rpartition("/")[2] for value in environment(name).values() if "/run/secrets" in value}
    assert {item["key"] for item in volume["items"]} <= secret["stringData"].keys()
    assert set(secret["stringData"].values()) == {""}


@pytest.mark.parametrize("name", ["ingest", "search", "quarantine"])
def test_a_worker_has_time_to_end(name: str) -> None:
    """What was begun is finished or handed back before SIGKILL."""
    needed: float = WorkerSettings.model_fields["shutdown_seconds"].default
    assert needed + 10 < DEPLOYMENTS[name]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert environment(name)["LOOKALIKE_DECODERS"] == container(name)["resources"]["limits"]["cpu"]


def test_the_kustomization_names_every_file() -> None:
    """But the example of the secret, which nobody should apply."""
    (found,) = [one for one in OBJECTS if one["kind"] == "Kustomization"]
    files = {path.name for path in FOLDER.glob("*.yaml")}
    assert set(found["resources"]) == files - {"kustomization.yaml", "secrets.example.yaml"}
    assert found["images"][0]["newTag"] == importlib.metadata.version("lookalike")
