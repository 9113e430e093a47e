"""What the manifests say to the program is what it understands: arguments, variables, settings, triggers."""

import importlib
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from sluicegate_worker.cli import COMMANDS
from sluicegate_worker.roles import describe_roles
from sluicegate_worker.scaler.demand import Dispatching
from sluicegate_worker.scaler.wish import read_wish
from sluicegate_worker.settings import Settings
from sluicegate_worker.settings_environment import OTHERS
from sluicegate_worker.settings_file import load_settings
from support.command_parsing import parse
from support.manifests import (
    K8S,
    OVERLAYS,
    Manifest,
    containers,
    labels_of,
    name_of,
    of_kind,
    pod_of,
    render,
    workloads,
)

MARGIN_S = 30  # beyond the longest call, to write down what it brought


@pytest.fixture
def settings() -> Settings:
    return load_settings(str(K8S / "base" / "sluicegate.toml"), {})


def our_containers(overlay: str) -> Iterator[tuple[Manifest, Manifest]]:
    return ((one, container) for one, container in containers(render(overlay)) if _is_ours(container))


def _is_ours(container: Manifest) -> bool:
    return str(container["image"]).rpartition("/")[2].startswith("sluicegate:")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_command_line_is_one(overlay: str) -> None:
    parsed = {
        container["name"]: parse(container["args"]).info_name
        for _, container in our_containers(overlay)
        if "command" not in container
    }
    assert {"dispatcher": "dispatch", "pool-apply": "apply"}.items() <= parsed.items()
    assert ("scaler" in parsed) == (overlay == "prod")


def test_a_wrong_command_line_is_found() -> None:
    for wrong in (["dispatch", "--helth-port=1"], ["scale"], ["pool", "aply"]):
        with pytest.raises(click.UsageError):
            parse(wrong)


def test_the_commands_of_the_image_exist() -> None:
    for name in ("dispatch", "scaler", "pool"):
        assert name in COMMANDS
        assert importlib.import_module(f"sluicegate_worker.cli.{name}").command


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_variable_is_one_of_ours(overlay: str) -> None:
    for workload, container in our_containers(overlay):
        unknown = {variable["name"] for variable in container.get("env", [])} - set(OTHERS)
        assert unknown == set(), name_of(workload)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_settings_that_are_mounted_are_those_that_load(overlay: str, settings: Settings, tmp_path: Path) -> None:
    [config] = [one for one in of_kind(render(overlay), "ConfigMap") if "sluicegate.toml" in one["data"]]
    (tmp_path / "sluicegate.toml").write_text(config["data"]["sluicegate.toml"])
    assert load_settings(str(tmp_path / "sluicegate.toml"), {}) == settings
    for workload, container in our_containers(overlay):
        paths = {v["value"] for v in container.get("env", []) if v["name"] == "SLUICEGATE_CONFIG"}
        mounted = {m["mountPath"]: m["name"] for m in container.get("volumeMounts", [])}
        for path in paths:
            volume = next(v for v in pod_of(workload)["volumes"] if v["name"] == mounted[str(Path(path).parent)])
            assert volume["configMap"]["name"] == config["metadata"]["name"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_key_is_mounted_where_the_settings_look(overlay: str, settings: Settings) -> None:
    [dispatcher] = [one for one in workloads(render(overlay)) if one["metadata"]["name"] == "dispatcher"]
    [mount] = [one for one in pod_of(dispatcher)["containers"][0]["volumeMounts"] if one["name"] == "keys"]
    assert mount["readOnly"]
    keys = known_secrets(overlay)["sluicegate-keys"]
    for pool in settings.pools.values():
        for upstream in pool.upstreams:
            assert upstream.api_key_file is not None
            assert Path(upstream.api_key_file).parent == Path(mount["mountPath"])
            assert Path(upstream.api_key_file).name in keys


def known_secrets(overlay: str) -> dict[str, set[str]]:
    """Their keys, by name without the hash: those of the overlay, or of its example."""
    made = of_kind(render(overlay), "Secret")
    example = K8S / "overlays" / overlay / "secrets.example.yaml"
    shown = list(yaml.safe_load_all(example.read_text())) if example.exists() else []
    found: dict[str, set[str]] = {}
    for secret in (*made, *shown):
        stem = secret["metadata"]["name"]
        name = stem.rpartition("-")[0] if secret in made else stem
        found[name] = set(secret.get("data", {})) | set(secret.get("stringData", {}))
    return found


def _referred(overlay: str) -> Iterator[tuple[str, str | None]]:
    """Name and key, None for all of them, of every Secret that is referred to."""
    for workload, container in containers(render(overlay)):
        for variable in container.get("env", []):
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            if reference:
                yield reference["name"], reference["key"]
        for volume in pod_of(workload).get("volumes", []):
            if "secret" in volume:
                yield volume["secret"]["secretName"], None
                yield from ((volume["secret"]["secretName"], item["key"]) for item in volume["secret"].get("items", []))
    for authentication in of_kind(render(overlay), "TriggerAuthentication"):
        yield from ((one["name"], one["key"]) for one in authentication["spec"]["secretTargetRef"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_secret_that_is_referred_to_is_there(overlay: str) -> None:
    known = known_secrets(overlay)
    for name, key in _referred(overlay):
        stem = name if name in known else name.rpartition("-")[0]
        assert stem in known, name
        assert key is None or key in known[stem], f"{name} has no {key}"


def test_the_users_of_the_example_are_those_of_doctor() -> None:
    text = (K8S / "overlays" / "prod" / "secrets.example.yaml").read_text()
    users = {role.command.split()[2] for role in describe_roles(["chat"])}
    assert {user for user in users if f"//{user}:" in text} == users


def test_a_pod_may_live_until_its_longest_call_has_ended(settings: Settings) -> None:
    """A stream lasts until its deadline, all else until the upstream's time-out."""
    longest_s = max(
        max(pool.deadline_s, *(one.timeout_s for one in pool.upstreams)) for pool in settings.pools.values()
    )
    for overlay in OVERLAYS:
        [dispatcher] = [one for one in workloads(render(overlay)) if one["metadata"]["name"] == "dispatcher"]
        assert pod_of(dispatcher)["terminationGracePeriodSeconds"] >= longest_s + MARGIN_S


def test_every_trigger_can_be_answered(settings: Settings) -> None:
    [dispatcher] = [one for one in workloads(render("prod")) if one["metadata"]["name"] == "dispatcher"]
    concurrency = parse(pod_of(dispatcher)["containers"][0]["args"]).params["concurrency"]
    services = {one["metadata"]["name"]: one for one in of_kind(render("prod"), "Service")}
    for scaled in of_kind(render("prod"), "ScaledObject"):
        for trigger in scaled["spec"]["triggers"]:
            wish = read_wish(trigger["metadata"])
            assert wish.pool in settings.pools
            assert trigger["metricType"] == "AverageValue"  # of the number itself, whatever there is now
            name, _, port = trigger["metadata"]["scalerAddress"].partition(".sluicegate.svc:")
            assert int(port) in {one["port"] for one in services[name]["spec"]["ports"]}
            if isinstance(wish.terms, Dispatching):
                assert wish.terms.concurrency == concurrency
    targets = {one["metadata"]["name"] for one in of_kind(render("prod"), "Deployment")}
    assert {one["spec"]["scaleTargetRef"]["name"] for one in of_kind(render("prod"), "ScaledObject")} <= targets


def test_ports_are_those_of_the_arguments() -> None:
    for overlay in OVERLAYS:
        for workload, container in our_containers(overlay):
            if "command" in container or not container.get("ports"):
                continue
            asked: dict[str, Any] = parse(container["args"]).params
            ports = {one["name"]: one["containerPort"] for one in container["ports"]}
            assert ports["health"] == asked.get("health_port", asked.get("http_port")), name_of(workload)
            assert ports.get("grpc", asked.get("port")) == asked.get("port")
            assert labels_of(workload)["app.kubernetes.io/name"] == container["name"]


def test_the_settings_say_no_address_of_redis() -> None:
    """It is in a Secret, for it holds a password."""
    assert "redis_url" not in tomllib.loads((K8S / "base" / "sluicegate.toml").read_text())
