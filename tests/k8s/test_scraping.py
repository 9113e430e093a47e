"""Prometheus is told of every pod that has metrics, and is let in to just their port."""

from support.manifests import labels_of, name_of, of_kind, pod_of, render, selects, workloads


def test_what_is_scraped_is_there_and_open() -> None:
    [monitor] = of_kind(render("prod"), "PodMonitor")
    [endpoint] = monitor["spec"]["podMetricsEndpoints"]
    [policy] = [one for one in of_kind(render("prod"), "NetworkPolicy") if one["metadata"]["name"].endswith("-metrics")]
    [way_in] = policy["spec"]["ingress"]
    opened = [port["port"] for port in way_in["ports"]]
    scraped = [one for one in workloads(render("prod")) if selects(monitor["spec"]["selector"], labels_of(one))]
    assert {name_of(one) for one in scraped} == {"Deployment/dispatcher", "Deployment/scaler"}
    for workload in scraped:
        [container] = pod_of(workload)["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert [ports[endpoint["port"]]] == opened
        assert any(argument.endswith(f"-port={opened[0]}") for argument in container["args"])
        assert selects(policy["spec"]["podSelector"], labels_of(workload))
    [source] = way_in["from"]
    assert source == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
