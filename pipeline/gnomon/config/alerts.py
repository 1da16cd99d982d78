"""`[[alert]]` and `[[hook]]` of `gnomon.toml` as frozen structs.

A rule names its hooks: by the `name` of a `[[hook]]`, by a URL (a JSON webhook), or by a hook written in place as an
inline table. Secrets stand in the file, in another file (`..._file`) or in an environment variable (`..._env`), and are
read when they are used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar, get_args, get_type_hints
from urllib.parse import urlsplit

import msgspec

from gnomon.config.values import Leaf, Problem, in_words
from gnomon.errors import ConfigError

__all__ = ["METRICS", "AlertRule", "Alerting", "Hook", "HookType", "Metric", "Secret", "read_alerting"]

T = TypeVar("T", bound=msgspec.Struct)

Metric: TypeAlias = Literal[
    "divergence_rate",
    "error_rate_increase",
    "missing_rate",
    "latency_shift_p50",
    "latency_shift_p90",
    "latency_shift_p99",
    "reject_rate",
    "synthetic_leaks",
]
METRICS: Final[tuple[Metric, ...]] = get_args(Metric)

HookType: TypeAlias = Literal["webhook", "slack", "alertmanager", "pagerduty", "command"]

PAGERDUTY: Final = "https://events.pagerduty.com/v2/enqueue"
_MOST_WINDOW: Final = timedelta(days=30)
_SECRETS: Final = ("url", "secret", "token", "routing_key")

Count = Annotated[int, msgspec.Meta(ge=1)]
Limit = Annotated[float, msgspec.Meta(ge=0)]
Name = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]{0,63}$",
        extra={"expected": "a name of up to 64 letters, digits, spaces, dots, dashes and underscores"},
    ),
]
Arguments = Annotated[
    tuple[str, ...] | None,
    msgspec.Meta(extra={"expected": 'a list of arguments such as ["kubectl", "rollout", "undo"]'}),
]


class Secret(msgspec.Struct, frozen=True):
    """A text that stands here, in a file, or in an environment variable; none of the three where there is none."""

    value: str | None = None
    file: Path | None = None
    env: str | None = None

    def __bool__(self) -> bool:
        """Whether it is set."""
        return self.value is not None or self.file is not None or self.env is not None

    def __repr__(self) -> str:
        """Say that there is one, and never what it is."""
        return "Secret(set)" if self else "Secret()"

    def read(self, environ: Mapping[str, str]) -> str | None:
        """Give the text, white space around it left out; None where none is set.

        Raises:
            ConfigError: The file cannot be read, or the variable is not set, or it is empty.
        """
        if self.file is not None:
            try:
                text = self.file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"{self.file} cannot be read: {error}", "correct the path") from error
        elif self.env is not None:
            text = environ.get(self.env, "").strip()
        else:
            return self.value
        if not text:
            raise ConfigError(f"{self.file or self.env} is empty", "put the secret into it")
        return text


class Hook(msgspec.Struct, frozen=True, kw_only=True):
    """Where alerts are sent. `timeout` is for one attempt, `retry_for` for all of them together."""

    name: Name
    type: HookType = "webhook"
    url: Secret = Secret()
    secret: Secret = Secret()
    token: Secret = Secret()
    routing_key: Secret = Secret()
    command: Arguments = None
    timeout: timedelta = timedelta(seconds=10)
    retry_for: timedelta = timedelta(hours=24)


class AlertRule(msgspec.Struct, frozen=True, kw_only=True):
    """One `[[alert]]`: fires when the lower end of the metric's interval is above `above` for as long as `hold`.

    `service`, `endpoint` and `target` are globs (`*`, `?`). `above` is a share, a relative shift for latencies, or a
    count for `synthetic_leaks`. `hold` is written `for`.
    """

    name: Name
    metric: Metric
    above: Limit
    service: str = "*"
    endpoint: str = "*"
    target: str = "*"
    window: timedelta = timedelta(minutes=10)
    min_pairs: Count = 100
    hold: timedelta = msgspec.field(default=timedelta(), name="for")
    severity: Literal["critical", "warning", "info"] = "warning"
    hooks: tuple[str, ...] = ()


class Alerting(msgspec.Struct, frozen=True):
    """All rules, and all hooks by name."""

    rules: tuple[AlertRule, ...] = ()
    hooks: dict[str, Hook] = {}


def read_alerting(alerts: tuple[dict[str, Any], ...], hooks: tuple[dict[str, Any], ...], file: Path | None) -> Alerting:
    """Read the tables of a settings file.

    Args:
        alerts: The `[[alert]]` tables as written.
        hooks: The `[[hook]]` tables as written.
        file: The settings file, to be named in errors; paths are relative to it.

    Raises:
        ConfigError: A key or a value that there is not; names the table, the key and the closest known key.
    """
    place = file or Path("gnomon.toml")
    found: dict[str, Hook] = {}
    for number, table in enumerate(hooks, start=1):
        hook = _read_hook(table, f"{place}: [[hook]] number {number}", place.parent)
        if hook.name in found:
            raise ConfigError(f"{place}: two [[hook]] are named {hook.name!r}", "give one of them another name")
        found[hook.name] = hook
    rules: list[AlertRule] = []
    for number, table in enumerate(alerts, start=1):
        where = f"{place}: [[alert]] number {number}"
        rule = _read_rule(table, where, found, place.parent)
        if any(rule.name == other.name for other in rules):
            raise ConfigError(f"{where}: name {rule.name!r} is taken by another [[alert]]", "give it another name")
        rules.append(rule)
    return Alerting(tuple(rules), found)


def _read_rule(table: dict[str, Any], where: str, hooks: dict[str, Hook], base: Path) -> AlertRule:
    given = dict(table)
    named = given.pop("hooks", [])
    if not isinstance(named, list):
        raise ConfigError(f"{where}: hooks: expected a list of hooks, got {in_words(named)}", 'write hooks = ["NAME"]')
    # A rule without a name is called by its metric; a second one of the same metric needs one.
    given.setdefault("name", given.get("metric"))
    rule = _read(given, AlertRule, where, base, extra=("hooks",))
    if not timedelta() < rule.window <= _MOST_WINDOW:
        raise ConfigError(f"{where}: window is not between 1s and 30d", 'write a duration such as "10m"')
    names = [_hook_name(item, f"{where}: hooks", hooks, base) for item in named]
    return msgspec.structs.replace(rule, hooks=tuple(dict.fromkeys(names)))


def _hook_name(item: object, where: str, hooks: dict[str, Hook], base: Path) -> str:
    """Give the name of the hook that a rule means; one that is written in place is kept under a name made for it."""
    if isinstance(item, str) and item in hooks:
        return item
    if isinstance(item, str) and "://" not in item:
        near = get_close_matches(item, hooks, n=1)
        remedy = f"did you mean {near[0]!r}?" if near else f"write [[hook]] with name = {item!r}, or give a URL"
        raise ConfigError(f"{where}: there is no [[hook]] named {item!r}", remedy)
    if not isinstance(item, str | dict):
        raise ConfigError(f"{where}: expected names, URLs or tables, got {in_words(item)}", "correct it")
    table = {"url": item} if isinstance(item, str) else dict(item)
    # The same table is the same hook wherever it stands, and what waits for it finds it after the file was changed.
    made = "name" not in table
    if made:
        table["name"] = f"hook-{hashlib.sha256(msgspec.json.encode(table, order='sorted')).hexdigest()[:8]}"
    hook = _read_hook(table, where, base)
    if not made and hook.name in hooks:
        raise ConfigError(f"{where}: name {hook.name!r} is taken by another hook", "give it another name")
    hooks[hook.name] = hook
    return hook.name


def _read_hook(table: dict[str, Any], where: str, base: Path) -> Hook:
    given = dict(table)
    secrets: dict[str, Secret] = {}
    for name in _SECRETS:
        parts = {part: given.pop(key) for part, key in _spellings(name).items() if key in given}
        if len(parts) > 1:
            raise ConfigError(f"{where}: {name} is given twice: {', '.join(_spellings(name)[p] for p in parts)}")
        secrets[name] = _read_secret(parts, f"{where}: {name}", base)
    if "command" in given:
        given.setdefault("type", "command")
        given.setdefault("timeout", "60s")
    known = tuple(key for name in _SECRETS for key in _spellings(name).values())
    hook = msgspec.structs.replace(_read(given, Hook, where, base, extra=known), **secrets)
    _check_hook(hook, where)
    return hook


def _spellings(name: str) -> dict[str, str]:
    return {"value": name, "file": f"{name}_file", "env": f"{name}_env"}


def _read_secret(parts: dict[str, object], where: str, base: Path) -> Secret:
    for part, value in parts.items():
        if not isinstance(value, str) or not value:
            # What is written there is not repeated: it may be the secret.
            raise ConfigError(f"{where}: expected text", "write it in quotes")
        if part == "file":
            return Secret(file=base / Path(value).expanduser())
        return Secret(env=value) if part == "env" else Secret(value=value)
    return Secret()


def _check_hook(hook: Hook, where: str) -> None:
    """Refuse what its type cannot use, and what it lacks."""
    needs = {"webhook": "url", "slack": "url", "alertmanager": "url", "pagerduty": "routing_key", "command": "command"}
    needed = needs[hook.type]
    if not getattr(hook, needed):
        raise ConfigError(f"{where}: a hook of type {hook.type!r} needs {needed}", f"add {needed}")
    if hook.type == "command" and (hook.url or hook.secret or hook.token or hook.routing_key):
        raise ConfigError(f"{where}: a command has no url and no secrets", "remove them, or the command")
    if hook.type != "command" and hook.command is not None:
        raise ConfigError(f"{where}: a hook of type {hook.type!r} has no command", 'write type = "command"')
    if hook.url.value is not None:
        check_url(hook.url.value, where)
    if not timedelta() < hook.timeout <= timedelta(hours=1):
        raise ConfigError(f"{where}: timeout is not between 1us and 1h", 'write a duration such as "10s"')


def check_url(url: str, where: str) -> None:
    """Refuse what is not an http or https URL; it is not repeated, since it may be a secret.

    Raises:
        ConfigError: It is not.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ConfigError(f"{where}: url is not an http or https URL", 'write one such as "https://hooks.example/x"')


def _read(table: dict[str, Any], struct: type[T], where: str, base: Path, *, extra: tuple[str, ...]) -> T:
    """Read the plain keys of a table; `extra` are keys that are read elsewhere, to be offered as the closest."""
    hints = get_type_hints(struct, include_extras=True)
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    plain = {name for name, field in fields.items() if name not in extra and hints[field.name] is not Secret}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in plain:
            raise ConfigError(f"{where}: no such key: {key!r}", _closest(key, sorted(plain | set(extra))))
        try:
            values[fields[key].name] = Leaf(hints[fields[key].name]).read(value, base)
        except Problem as problem:
            near = _nearest_choice(value, hints[fields[key].name])
            raise ConfigError(f"{where}: {key}: {problem}", near) from None
    for name, field in fields.items():
        if field.required and field.name not in values:
            raise ConfigError(f"{where}: {name} is missing", f"add {name} = ...")
    return struct(**values)


def _closest(word: str, known: list[str]) -> str:
    near = get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"


def _nearest_choice(value: object, annotation: object) -> str:
    choices = [choice for choice in get_args(annotation) if isinstance(choice, str)]
    near = get_close_matches(value, choices, n=1) if isinstance(value, str) else []
    return f"did you mean {near[0]!r}?" if near else ""
