"""One thing that the doctor looked at: whether it is well, what was seen, and what to do about it."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from sluicegate.store import VERSIONS_NEEDED, read_version

MEMORY_SHARE_MOST = 0.9
CLOCK_S_MOST = 5.0
_MICRO = 1_000_000


class Check(Struct, frozen=True):
    """`cure` is empty where all is well."""

    name: str
    ok: bool
    detail: str
    cure: str = ""


def check_server(info: Mapping[str, Any], here_s: float, place: str = "") -> list[Check]:
    """What a server says of itself, against what is needed of it; pure. `here_s` is this machine's time, `place` tells
    several servers apart."""
    checks = [_check_version(info), _check_role(info), _check_eviction(info), _check_memory(info)]
    checks += [_check_append_only_file(info), _check_snapshots(info), _check_clock(info, here_s)]
    return [Check(f"{check.name} {place}".rstrip(), check.ok, check.detail, check.cure) for check in checks]


def is_loading(info: Mapping[str, Any]) -> bool:
    return bool(info.get("loading"))


def _check_version(info: Mapping[str, Any]) -> Check:
    version, is_new_enough = read_version(dict(info))
    return Check("version", is_new_enough, version, "" if is_new_enough else f"use {VERSIONS_NEEDED}, or newer")


def _check_role(info: Mapping[str, Any]) -> Check:
    role = str(info.get("role"))
    return Check(
        "role", role == "master", role, "" if role == "master" else "name the primary: a replica takes nothing"
    )


def _check_eviction(info: Mapping[str, Any]) -> Check:
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy == "noeviction":
        return Check("eviction", True, policy)
    return Check("eviction", False, f"{policy} drops requests when memory is full", "set maxmemory-policy noeviction")


def _check_memory(info: Mapping[str, Any]) -> Check:
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if not most:
        return Check("memory", True, f"{used:,} bytes used, no maxmemory")
    detail = f"{used:,} of {most:,} bytes used"
    if used < MEMORY_SHARE_MOST * most:
        return Check("memory", True, detail)
    return Check("memory", False, detail, "raise maxmemory, or drain what waits; a full server takes nothing new")


def _check_append_only_file(info: Mapping[str, Any]) -> Check:
    if is_loading(info):
        return Check("append-only file", False, "the server still reads its data", "wait until it has")
    if not info.get("aof_enabled"):
        cure = "set appendonly yes: else what waits is lost when the server restarts"
        return Check("append-only file", False, "there is none", cure)
    states = {name: str(info.get(f"aof_last_{name}_status", "ok")) for name in ("write", "bgrewrite")}
    if set(states.values()) == {"ok"}:
        return Check("append-only file", True, "written, without an error")
    failed = " and ".join(name for name, state in states.items() if state != "ok")
    return Check("append-only file", False, f"the last {failed} failed", "look at the server's disk and its log")


def _check_snapshots(info: Mapping[str, Any]) -> Check:
    state = str(info.get("rdb_last_bgsave_status", "ok"))
    if state == "ok":
        return Check("snapshots", True, "no error")
    return Check("snapshots", False, "the last one failed", "look at the server's disk and its log")


def _check_clock(info: Mapping[str, Any], here_s: float) -> Check:
    told_us = info.get("server_time_usec")
    if told_us is None:
        return Check("clock", True, "the server does not tell")
    apart_s = abs(int(told_us) / _MICRO - here_s)
    detail = f"{apart_s:.1f} s apart from this machine's; only what is displayed depends on it"
    return Check("clock", apart_s <= CLOCK_S_MOST, detail, "" if apart_s <= CLOCK_S_MOST else "set the clocks by NTP")
