"""What deploy/kubernetes/ says is checked against itself, the Compose files, the image and the program."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
import yaml

from bridge.cli import app
from bridge.config import Settings, variables

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "deploy" / "kubernetes"
FILES = sorted(PLACE.rglob("*.yaml"))
COMMAND_LINE: Any = typer.main.get_command(app)
CLOSING_SECONDS = 5


class Resource(NamedTuple):
    file: str
    kind: str
    name: str
    content: dict[str, Any]

    @property
    def spec(self) -> dict[str, Any]:
        return dict(self.content["spec"])


def resources() -> Iterator[Resource]:
    for file in FILES:
        for content in yaml.safe_load_all(file.read_text()):
            name = content["metadata"].get("name") or content["metadata"]["generateName"]
            yield Resource(str(file.relative_to(PLACE)), content["kind"], name, content)


def one(kind: str, name: str) -> Resource:
    found = [each for each in resources() if (each.kind, each.name) == (kind, name)]
    assert len(found) == 1, f"{kind} {name} is there {len(found)} times"
    return found[0]


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for each in resources():
        if each.kind in {"StatefulSet", "Deployment", "Job"}:
            yield f"{each.kind} {each.name}", each.spec["template"]


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


PODS = [pytest.param(pod, id=name) for name, pod in pods()]
CONTAINERS = [
    pytest.param(pod, each, id=f"{name}: {each['name']}") for name, pod in pods() for each in containers(pod)
]


def environment(container: dict[str, Any]) -> dict[str, Any]:
    """Return the variables a container sets itself, and those it takes from the shared settings."""
    shared = one("ConfigMap", "imbridge").content["data"]
    assert container["envFrom"] == [{"configMapRef": {"name": "imbridge"}}]
    return dict(shared) | {
        entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]
    }


def drain_seconds(container: dict[str, Any]) -> float:
    return float(environment(container).get("IMBRIDGE_DRAIN_SECONDS", Settings().drain_seconds))


def port_of(container: dict[str, Any], name: str) -> int:
    return {port["name"]: int(port["containerPort"]) for port in container["ports"]}[name]


def test_every_part_is_there() -> None:
    kinds = {(each.kind, each.name) for each in resources()}
    assert {
        ("StatefulSet", "imbridge-ingress"),
        ("PodDisruptionBudget", "imbridge-ingress"),
        ("Service", "imbridge-ingress"),
        ("Service", "imbridge-ingress-pods"),
        ("Deployment", "imbridge-consume"),
        ("ConfigMap", "imbridge"),
        ("Job", "imbridge-relay-volume-"),
    } == kinds


@pytest.mark.parametrize(("pod", "container"), CONTAINERS)
def test_containers_run_the_image_of_the_compose_files_and_a_command_that_exists(
    pod: dict[str, Any], container: dict[str, Any]
) -> None:
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    assert container["image"] == compose["x-imbridge"]["image"]
    name, *options = container["args"]
    known = {option for parameter in COMMAND_LINE.commands[name].params for option in parameter.opts}
    assert {option for option in options if option.startswith("-")} <= known


@pytest.mark.parametrize(("pod", "container"), CONTAINERS)
def test_every_variable_is_a_setting_and_every_secret_a_reference(
    pod: dict[str, Any], container: dict[str, Any]
) -> None:
    secret = ("TOKENS", "SECRETS", "PASSWORD", "STORE__URL")
    for name, value in environment(container).items():
        assert name in set(variables())
        if name.endswith(secret):
            assert value["secretKeyRef"]["name"] == "imbridge"
        else:
            assert isinstance(value, str), f"{name} is not written as text"


@pytest.mark.parametrize(("pod", "container"), CONTAINERS)
def test_containers_are_confined_as_in_the_compose_files(
    pod: dict[str, Any], container: dict[str, Any]
) -> None:
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert container["resources"]["limits"]["memory"]
    user = pod["spec"]["securityContext"]
    assert (user["runAsNonRoot"], user["runAsUser"], user["fsGroup"]) == (True, 10001, 10001)
    assert f"--uid {user['runAsUser']} " in (ROOT / "deploy" / "Dockerfile").read_text()


@pytest.mark.parametrize(("pod", "container"), CONTAINERS)
def test_what_is_mounted_is_a_volume_and_the_data_directory_is_one_of_them(
    pod: dict[str, Any], container: dict[str, Any]
) -> None:
    claims = [
        claim["metadata"]["name"]
        for claim in one("StatefulSet", "imbridge-ingress").spec["volumeClaimTemplates"]
    ]
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]} | set(claims)
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert set(mounts.values()) <= volumes
    assert {"/var/lib/imbridge", "/tmp"} == set(mounts)
    assert "IMBRIDGE_DATA_DIR=/var/lib/imbridge" in (ROOT / "deploy" / "Dockerfile").read_text()


@pytest.mark.parametrize(("pod", "container"), CONTAINERS)
def test_probes_ask_ports_that_the_container_listens_on(
    pod: dict[str, Any], container: dict[str, Any]
) -> None:
    probes = [
        container[kind] for kind in ("startupProbe", "livenessProbe", "readinessProbe") if kind in container
    ]
    assert probes or container["args"][1:2] == ["--until-empty"]
    for probe in probes:
        asked = probe["httpGet"]
        assert asked["path"] in {"/livez", "/readyz"}
        listens = environment(container).get("IMBRIDGE_OPS__PORT", Settings().ops.port)
        assert port_of(container, asked["port"]) == int(listens)
    if "readinessProbe" in container:
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert container["livenessProbe"]["httpGet"]["path"] == "/livez"


def test_containers_of_one_pod_listen_on_ports_of_their_own() -> None:
    pod = one("StatefulSet", "imbridge-ingress").spec["template"]
    ports = [port["containerPort"] for container in containers(pod) for port in container["ports"]]
    assert len(ports) == len(set(ports))
    assert Settings().ingress.port in ports


@pytest.mark.parametrize("pod", PODS)
def test_pods_are_stopped_later_than_all_their_deadlines_one_after_the_other(pod: dict[str, Any]) -> None:
    pauses = [
        float(container["lifecycle"]["preStop"]["exec"]["command"][1])
        for container in containers(pod)
        if "lifecycle" in container
    ]
    drains = [drain_seconds(container) + CLOSING_SECONDS for container in containers(pod)]
    assert pod["spec"]["terminationGracePeriodSeconds"] > sum(pauses) + sum(drains)


def test_the_relay_is_a_sidecar_that_is_stopped_after_the_ingress() -> None:
    pod = one("StatefulSet", "imbridge-ingress").spec["template"]
    (relay,) = pod["spec"]["initContainers"]
    assert (relay["args"], relay["restartPolicy"]) == (["relay"], "Always")
    (ingress,) = pod["spec"]["containers"]
    assert ingress["args"][0] == "ingress"
    assert "--workers" in ingress["args"]


def test_volumes_are_one_an_instance_kept_when_it_goes_and_large_enough() -> None:
    spec = one("StatefulSet", "imbridge-ingress").spec
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenScaled": "Retain", "whenDeleted": "Retain"}
    (claim,) = spec["volumeClaimTemplates"]
    size = int(claim["spec"]["resources"]["requests"]["storage"].removesuffix("Gi")) * 2**30
    (ingress,) = spec["template"]["spec"]["containers"]
    workers = int(ingress["args"][ingress["args"].index("--workers") + 1])
    assert size > workers * int(environment(ingress)["IMBRIDGE_JOURNAL__MAX_BYTES"])
    left = one("Job", "imbridge-relay-volume-").spec["template"]["spec"]["volumes"][0]
    claimed = left["persistentVolumeClaim"]["claimName"]
    assert claimed.rpartition("-")[0] == f"{claim['metadata']['name']}-imbridge-ingress"


def test_the_job_that_relays_a_volume_left_behind_runs_once_and_says_how_it_ended() -> None:
    job = one("Job", "imbridge-relay-volume-").spec
    pod = job["template"]["spec"]
    assert (job["backoffLimit"], pod["restartPolicy"]) == (0, "Never")
    assert "--until-empty" in pod["containers"][0]["args"]
    assert PLACE / "jobs" in {file.parent for file in FILES}, "kubectl apply -f would run it at once"


def test_selectors_find_their_pods() -> None:
    for each in resources():
        if each.kind in {"StatefulSet", "Deployment"}:
            assert each.spec["selector"]["matchLabels"] == each.spec["template"]["metadata"]["labels"]


def test_services_and_the_disruption_budget_find_the_ingress_and_its_ports() -> None:
    ingress = one("StatefulSet", "imbridge-ingress").spec
    labels = ingress["template"]["metadata"]["labels"]
    named = {port["name"] for each in containers(ingress["template"]) for port in each["ports"]}
    for name in ("imbridge-ingress", "imbridge-ingress-pods"):
        service = one("Service", name).spec
        assert service["selector"] == labels
        assert {port["targetPort"] for port in service["ports"]} <= named
    headless = one("Service", ingress["serviceName"]).spec
    assert headless["clusterIP"] == "None"
    budget = one("PodDisruptionBudget", "imbridge-ingress").spec
    assert budget["selector"]["matchLabels"] == labels
    assert budget["maxUnavailable"] < ingress["replicas"]


def test_callers_stay_on_one_instance_and_doors_are_locked() -> None:
    assert one("Service", "imbridge-ingress").spec["sessionAffinity"] == "ClientIP"
    assert one("ConfigMap", "imbridge").content["data"]["IMBRIDGE_INGRESS__ALLOW_UNAUTHENTICATED"] == "false"
