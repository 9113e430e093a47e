"""Which environment variable sets what: every name that a file's pools and upstreams allow, and nothing else."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import FieldInfo, fields, replace

from sluicegate_worker.policy_settings import Breaker, Retry, environment_form
from sluicegate_worker.settings import Pool, Upstream
from sluicegate_worker.settings_reading import SettingsError, join, parse_value

REDIS_URL = "SLUICEGATE_REDIS_URL"
CONFIG = "SLUICEGATE_CONFIG"
POOLS = "SLUICEGATE_POOLS__"
OTHERS = (REDIS_URL, CONFIG, "SLUICEGATE_POOL", "SLUICEGATE_AGENT")

# Kubernetes tells every pod about the Services beside it in variables like these; a Service named `sluicegate` or
# `sluicegate-redis` must not stop the dispatchers.
_SERVICE_LINK = re.compile(
    r"(?!.*__)SLUICEGATE_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)\Z"
)


class Place(NamedTuple):
    """Where a value goes: into the pool itself, its retry or breaker, or the upstream of that index."""

    pool: str
    part: Literal["retry", "breaker"] | int | None
    field: FieldInfo
    path: str


def apply_environment(pools: Mapping[str, Pool], environ: Mapping[str, str]) -> dict[str, Pool]:
    """The pools, with what the environment says in place of what they said."""
    places: dict[str, Place] = {}
    for variable, place in _find_places(pools):
        if variable in places and variable in environ:
            raise SettingsError(
                f"{variable} is both {places[variable].path} and {place.path}; rename one of the upstreams"
            )
        places[variable] = place
    refuse_unknown_variables(environ, places)
    changed = dict(pools)
    for variable in sorted(environ.keys() & places.keys()):
        place = places[variable]
        value = parse_value(place.field.type, environ[variable], f"{variable} ({place.path})")
        changed[place.pool] = _replace(changed[place.pool], place, value)
    return changed


def refuse_unknown_variables(names: Iterable[str], known: Collection[str]) -> None:
    """A mistyped variable would otherwise be ignored in silence, and its setting stay as it was."""
    known = (*OTHERS, *known)
    for name in sorted(names):
        if name.startswith("SLUICEGATE_") and name not in known and not _SERVICE_LINK.match(name):
            near = get_close_matches(name, known, n=1)
            cure = f"did you mean {near[0]}?" if near else "it fits no pool, upstream and setting of the file; unset it"
            raise SettingsError(f"{name} is not a variable of Sluicegate; {cure}")


def _find_places(pools: Mapping[str, Pool]) -> Iterator[tuple[str, Place]]:
    for name, pool in pools.items():
        form, path = POOLS + environment_form(name), join("pools", name)
        parts: list[tuple[str, str, Literal["retry", "breaker"] | int | None, type[Struct], set[str]]] = [
            (form, path, None, Pool, {"retry", "breaker", "upstreams"}),
            (f"{form}__RETRY", f"{path}.retry", "retry", Retry, set()),
            (f"{form}__BREAKER", f"{path}.breaker", "breaker", Breaker, set()),
        ]
        for index, upstream in enumerate(pool.upstreams):
            upstream_form = f"{form}__UPSTREAMS__{environment_form(upstream.name)}"
            parts.append((upstream_form, f"{path}.upstreams[{index}]", index, Upstream, {"name"}))
        for prefix, part_path, part, kind, without in parts:
            for field in fields(kind):
                if field.name not in without:
                    yield f"{prefix}__{field.name.upper()}", Place(name, part, field, f"{part_path}.{field.name}")


def _replace(pool: Pool, place: Place, value: object) -> Pool:
    change = {place.field.name: value}
    if place.part is None:
        return replace(pool, **change)
    if isinstance(place.part, str):
        return replace(pool, **{place.part: replace(getattr(pool, place.part), **change)})
    upstreams = list(pool.upstreams)
    upstreams[place.part] = replace(upstreams[place.part], **change)
    return replace(pool, upstreams=tuple(upstreams))
