"""Every overlay renders, and every component on the base; the same each time, and nothing twice."""

from collections import Counter
from pathlib import Path

import pytest

from support.manifests import (
    COMPONENTS,
    K8S,
    NEEDS,
    OVERLAYS,
    name_of,
    of_kind,
    render,
    render_components,
    render_folder,
    workloads,
)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_renders_the_same_each_time(overlay: str) -> None:
    assert render_folder(K8S / "overlays" / overlay) == render(overlay)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_is_there_twice_and_all_is_in_the_namespace(overlay: str) -> None:
    names = Counter(name_of(one) for one in render(overlay))
    assert [name for name, count in names.items() if count > 1] == []
    strays = [name_of(one) for one in render(overlay) if one["metadata"].get("namespace", "sluicegate") != "sluicegate"]
    assert strays == []


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_renders_with_what_it_needs(component: str, tmp_path: Path) -> None:
    assert render_components((*NEEDS.get(component, ()), component), tmp_path) != []


def test_prod_scales_by_keda_and_dev_by_hand() -> None:
    scaled = {one["spec"]["scaleTargetRef"]["name"] for one in of_kind(render("prod"), "ScaledObject")}
    assert scaled == {"dispatcher", "agent"}
    assert [
        name_of(one)
        for one in workloads(render("prod"))
        if one["metadata"]["name"] in scaled and "replicas" in one["spec"]
    ] == []
    assert {one["metadata"]["name"]: one["spec"].get("replicas") for one in of_kind(render("dev"), "Deployment")} == {
        "dispatcher": 2,
        "agent": 1,
        "toolbox": 1,
    }


def test_prod_holds_no_secret() -> None:
    assert of_kind(render("prod"), "Secret") == []
