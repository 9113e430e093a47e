"""Changes to a policy as a person types them, `setting=value`: all of them, or an error and none; pure."""

from collections.abc import Iterable
from typing import TypeVar

from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo, fields, replace

from sluicegate_worker.policy_settings import Policy, check_policy
from sluicegate_worker.settings_reading import SettingsError, join, parse_value, suggest

Owner = TypeVar("Owner", bound=Struct)

_PARTS = ("retry", "breaker")
_FIXED = ("upstreams", *_PARTS)


def change_policy(policy: Policy, changes: Iterable[str], path: str) -> Policy:
    """Raises SettingsError for what is no setting, has no sense, or does not fit the rest."""
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals:
            raise SettingsError(f"{change!r:.60} must be written as setting=value, as in max_backlog=5000")
        policy = _change(policy, name.strip(), text, path)
    check_policy(policy, path)
    return policy


def _change(policy: Policy, name: str, text: str, path: str) -> Policy:
    part, dot, rest = name.rpartition(".")
    if not dot:
        return _replace(policy, name, text, path, without=_FIXED)
    if part in _PARTS:
        return replace(policy, **{part: _replace(getattr(policy, part), rest, text, join(path, part))})
    upstreams = list(policy.upstreams)
    names = [upstream.name for upstream in upstreams]
    if part not in names:
        known = suggest(part, [*_PARTS, *names])
        raise SettingsError(f"{name} is not a setting: there is no part or upstream {part}; {known}")
    at = names.index(part)
    upstreams[at] = _replace(upstreams[at], rest, text, f"{path}: {part}", without=("name",))
    return replace(policy, upstreams=tuple(upstreams))


def _replace(owner: Owner, name: str, text: str, path: str, without: tuple[str, ...] = ()) -> Owner:
    known: dict[str, FieldInfo] = {field.name: field for field in fields(owner) if field.name not in without}
    if name not in known:
        raise SettingsError(f"{join(path, name)} is not a setting; {suggest(name, known)}")
    if not text:
        return replace(owner, **{name: _default(known[name], join(path, name))})
    return replace(owner, **{name: parse_value(known[name].type, text, join(path, name))})


def _default(field: FieldInfo, path: str) -> object:
    if field.required:
        raise SettingsError(f"{path} has no default; give it a value")
    return field.default if field.default_factory is NODEFAULT else field.default_factory()
