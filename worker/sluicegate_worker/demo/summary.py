"""A report in words, for people."""

from sluicegate_worker.demo.report import Group, Report


def summarise(report: Report) -> str:
    return "\n".join([_say_outcome(report), *_say_provider(report), *_say_waits(report)])


def _say_outcome(report: Report) -> str:
    unhappy = {"refused": report.refused, "dead": report.dead, "expired": report.expired, "cancelled": report.cancelled}
    rest = "".join(f", {count:,} {state}" for state, count in unhappy.items() if count)
    everyone = "every one of them" if report.ok == report.offered else f"{report.ok:,}"
    return (
        f"{report.offered:,} requests of {report.agents:,} agents in {report.duration_s:.0f} s: {everyone} answered"
        f"{rest}, {report.lost:,} lost. The backlog took {report.drain_s:.1f} s more to drain."
    )


def _say_provider(report: Report) -> list[str]:
    if report.upstream_calls is None:
        return []
    refused, twice = report.upstream_429, report.duplicates
    lines = [
        f"provider    {report.upstream_calls:,} calls; {refused:,} refused (429), {twice:,} answered twice",
        f"busiest     {report.max_in_1s:,} calls in 1 s, {report.max_in_10s:,} in 10 s, {report.max_in_60s:,} in 60 s",
    ]
    if report.utilisation is not None:
        lines.append(
            f"limit       {report.limit_rpm:,.0f} a minute; {report.utilisation:.1%} of it used while work waited"
        )
    return lines


def _say_waits(report: Report) -> list[str]:
    names = {"others": "agents", "hogs": "hogs"}
    lines = [
        f"{title:<12}{_say_group(report.groups[group])}"
        for group, title in names.items()
        if report.groups[group].agents
    ]
    if report.jain is not None:
        lines.append(
            f"fairness    {report.jain:.4f} (Jain's index among agents that kept waiting; 1 is perfectly even)"
        )
    return lines


def _say_group(group: Group) -> str:
    if group.wait_p50_s is None:
        return f"{group.agents:,}, {group.ok:,} answered"
    return (
        f"{group.agents:,}, {group.ok:,} answered; waited {group.wait_p50_s:.2f} s (median), "
        f"{group.wait_p99_s:.2f} s (99th percentile)"
    )
