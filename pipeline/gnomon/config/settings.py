"""The settings as structs; their descriptions are the configuration reference (docs/configuration.md).

Durations are `timedelta`, sizes are bytes, rates are shares between 0 and 1. A path is relative to the file
that names it, else to the current directory.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from gnomon.core.quota import MAX_VALUES
from gnomon.errors import ConfigError
from gnomon.model import Role

__all__ = [
    "Collect",
    "Decode",
    "Emit",
    "Endpoints",
    "Join",
    "Kafka",
    "KafkaSecurity",
    "LatencyShift",
    "Limits",
    "Log",
    "Operations",
    "Redact",
    "Registry",
    "Settings",
    "Store",
    "Verdict",
    "Watch",
    "Web",
]

KIB: Final = 1024
MIB: Final = 1024 * KIB


def about(
    description: str, *, env: str | None = None, secret: bool = False, default: str | None = None, size: bool = False
) -> msgspec.Meta:
    """Describe a setting: its environment name where that is not the usual one, and how to show it."""
    return msgspec.Meta(description=description, extra={"env": env, "secret": secret, "default": default, "size": size})


Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Confidence = Annotated[float, msgspec.Meta(ge=0.5, le=0.9999)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Address = Annotated[
    str, msgspec.Meta(pattern=r"^[^\s,]+:\d{1,5}$", extra={"expected": 'an address such as "127.0.0.1:8080"'})
]
Addresses = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[^\s,]+:\d{1,5}(\s*,\s*[^\s,]+:\d{1,5})*$",
        extra={"expected": 'addresses such as "kafka-1:9092,kafka-2:9092"'},
    ),
]
Url = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(https?://[^\s/@?#]+(/[^\s@?#]*)?)?$",
        extra={"expected": 'a URL such as "http://host:8081", without a user name or a query'},
    ),
]
Expectations = Annotated[
    tuple[Annotated[str, msgspec.Meta(pattern=r"^(shadow(:.+)?|control)$")], ...],
    msgspec.Meta(extra={"expected": 'a list of "shadow", "shadow:TARGET" or "control"'}),
]


class KafkaSecurity(msgspec.Struct, frozen=True):
    """How to reach brokers that ask who is there."""

    protocol: Annotated[
        Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"],
        about("What the connection is wrapped in", env="GNOMON_KAFKA_PROTOCOL"),
    ] = "plaintext"
    sasl: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None,
        about("SASL mechanism", env="GNOMON_KAFKA_SASL"),
    ] = None
    username: Annotated[str | None, about("SASL user name", env="GNOMON_KAFKA_USERNAME")] = None
    password: Annotated[str | None, about("SASL password", env="GNOMON_KAFKA_PASSWORD", secret=True)] = None
    password_file: Annotated[
        Path | None, about("File that holds the SASL password", env="GNOMON_KAFKA_PASSWORD_FILE")
    ] = None
    ca: Annotated[Path | None, about("PEM file of the authorities to trust", env="GNOMON_KAFKA_CA")] = None
    cert: Annotated[Path | None, about("PEM file of the client certificate", env="GNOMON_KAFKA_CERT")] = None
    key: Annotated[Path | None, about("PEM file of the client's private key", env="GNOMON_KAFKA_KEY")] = None
    key_password: Annotated[
        str | None, about("Password of that private key", env="GNOMON_KAFKA_KEY_PASSWORD", secret=True)
    ] = None
    key_password_file: Annotated[
        Path | None, about("File that holds the password of that private key", env="GNOMON_KAFKA_KEY_PASSWORD_FILE")
    ] = None

    def read_password(self) -> str | None:
        """Give the SASL password. Raises ConfigError when its file cannot be read."""
        return read_secret("kafka.security.password", self.password, self.password_file)

    def read_key_password(self) -> str | None:
        """Give the private key's password. Raises ConfigError when its file cannot be read."""
        return read_secret("kafka.security.key_password", self.key_password, self.key_password_file)


class Kafka(msgspec.Struct, frozen=True):
    """Where the exchanges come from."""

    bootstrap: Annotated[
        Addresses, about("Brokers to ask first, `host:port`, separated by commas", env="GNOMON_KAFKA")
    ] = "127.0.0.1:9092"
    topic: Annotated[str, about("Topic of the exchanges", env="GNOMON_TOPIC")] = "gnomon.exchanges"
    group: Annotated[str, about("Consumer group of the workers", env="GNOMON_GROUP")] = "gnomon"
    rejects: Annotated[str, about("Topic that refused records are reported on; empty: none")] = "gnomon.rejects"
    comparisons: Annotated[str, about("Topic that comparisons are sent to as JSON; empty: none")] = ""
    alerts: Annotated[str, about("Topic that alerts are sent to as JSON; empty: none")] = "gnomon.alerts"
    session_timeout: Annotated[
        timedelta, about("How long a worker may be silent before its partitions go to others")
    ] = timedelta(seconds=8)
    security: KafkaSecurity = KafkaSecurity()


class Registry(msgspec.Struct, frozen=True):
    """The Schema Registry (Confluent's HTTP API) that has the schemas of business topics."""

    url: Annotated[Url, about("Where it is", default="none; values name no schema")] = ""
    username: Annotated[str | None, about("User name for HTTP basic authentication")] = None
    password: Annotated[str | None, about("Password", secret=True)] = None
    password_file: Annotated[Path | None, about("File that holds that password")] = None
    ca: Annotated[
        Path | None, about("PEM file of the authorities to trust", default="those that this machine trusts")
    ] = None
    timeout: Annotated[timedelta, about("How long it may take to answer")] = timedelta(seconds=5)

    def read_password(self) -> str | None:
        """Give the password. Raises ConfigError when its file cannot be read."""
        return read_secret("registry.password", self.password, self.password_file)


class Join(msgspec.Struct, frozen=True):
    """How the two sides of a request find each other."""

    window: Annotated[
        timedelta, about("How long, in event time, to wait for a counterpart before it counts as missing")
    ] = timedelta(seconds=30)
    lateness: Annotated[
        timedelta, about("How long after its window closed a counterpart still becomes a comparison, marked late")
    ] = timedelta(minutes=10)
    skew: Annotated[timedelta, about("How far event time may run ahead of the Kafka timestamp and of the clock")] = (
        timedelta(minutes=1)
    )
    expect: Annotated[
        Expectations,
        about("Who else is sent each request where the live record does not say: `shadow`, `shadow:TARGET`, `control`"),
    ] = ("shadow",)


class Store(msgspec.Struct, frozen=True):
    """Where streamed results land."""

    path: Annotated[Path, about("The store's directory", env="GNOMON_STORE")] = Path("gnomon.store")
    horizon: Annotated[
        timedelta, about("For how much event time a request id is one request; after that it is another")
    ] = timedelta(hours=24)
    retention: Annotated[timedelta, about("How long results are kept")] = timedelta(days=30)
    retention_bytes: Annotated[
        Positive | None,
        about("Most that results may take on disk; the oldest go first", size=True, default="no bound"),
    ] = None


class Redact(msgspec.Struct, frozen=True):
    """What nobody may read."""

    enabled: Annotated[bool, about("Whether secrets are replaced by keyed hashes before anything is stored")] = True
    key: Annotated[
        str | None,
        about("Key of the hashes, shared by all emitters", secret=True, default="random, with a warning"),
    ] = None
    key_file: Annotated[Path | None, about("File that holds that key")] = None

    def read_key(self) -> str | None:
        """Give the key, or None where there is none. Raises ConfigError when its file cannot be read."""
        return read_secret("redact.key", self.key, self.key_file)


class Web(msgspec.Struct, frozen=True):
    """The HTTP API."""

    bind: Annotated[Address, about("Address to listen on, `host:port`")] = "127.0.0.1:8080"
    token: Annotated[
        str | None,
        about("What callers must show; needed to listen on other addresses than this machine's", secret=True),
    ] = None
    token_file: Annotated[Path | None, about("File that holds that token")] = None
    url: Annotated[
        Url, about("Where others reach it, for links in alerts", default="`http://` and the address it listens on")
    ] = ""

    def read_token(self) -> str | None:
        """Give the token, or None where there is none. Raises ConfigError when its file cannot be read."""
        return read_secret("web.token", self.token, self.token_file)


class Operations(msgspec.Struct, frozen=True):
    """Health and metrics of the long-running commands."""

    bind: Annotated[
        Address, about("Address to listen on, `host:port`; a free port is taken when the default one is in use")
    ] = "127.0.0.1:6066"


class Watch(msgspec.Struct, frozen=True):
    """When alert rules are looked at."""

    interval: Annotated[timedelta, about("How long between two evaluations of all rules")] = timedelta(seconds=15)


class Log(msgspec.Struct, frozen=True):
    """What the long-running commands write on stderr."""

    format: Annotated[Literal["logfmt", "json"], about("Form of a line")] = "logfmt"
    level: Annotated[
        Literal["debug", "info", "warning", "error"], about("Least level of Gnomon's own events that is written")
    ] = "info"


class Emit(msgspec.Struct, frozen=True):
    """What the middleware in a service records, and how much of it may wait."""

    enabled: Annotated[bool, about("Whether anything is recorded; tags travel all the same")] = True
    service: Annotated[
        str, about("Name of the service", env="GNOMON_SERVICE", default="the host that each request asks for")
    ] = ""
    target: Annotated[str, about("Which build answers, such as `cart@2.4.0-rc1`", env="GNOMON_TARGET")] = ""
    role: Annotated[
        Role, about("The part this process plays where `x-gnomon-role` says nothing", env="GNOMON_ROLE")
    ] = "live"
    out: Annotated[Path | None, about("NDJSON file to append to, in place of Kafka")] = None
    body_bytes: Annotated[
        Positive, about("Largest body recorded; of a larger one the beginning, the size and a hash", size=True)
    ] = 256 * KIB
    record_bytes: Annotated[
        Positive, about("Largest record; bodies are cut further until it fits, as a Kafka message must", size=True)
    ] = 1000 * KIB
    queue_records: Annotated[
        Positive, about("Records that may wait to be written; from half of them on exchanges are shed, by their ids")
    ] = 10_000
    queue_bytes: Annotated[
        Positive,
        about("Bytes that may wait to be written; from half of them on exchanges are shed, by their ids", size=True),
    ] = 32 * MIB
    drain: Annotated[timedelta, about("How long the end of the process may wait for what waits to be written")] = (
        timedelta(seconds=5)
    )


class Collect(msgspec.Struct, frozen=True):
    """What `gnomon collect` takes from Envoy's access log, and how much of it may wait."""

    bind: Annotated[Address, about("Address to listen on for Envoy, `host:port`")] = "127.0.0.1:9090"
    service: Annotated[str, about("Name of the service", default="the host that each request asks for")] = ""
    body_bytes: Annotated[
        Positive, about("Largest body recorded; of a larger one the beginning, the size and a hash", size=True)
    ] = 256 * KIB
    record_bytes: Annotated[
        Positive, about("Largest record; bodies are cut further until it fits, as a Kafka message must", size=True)
    ] = 1000 * KIB
    queue_bytes: Annotated[
        Positive,
        about("Bytes that may wait to become records, and as many to be written; what comes then is shed", size=True),
    ] = 64 * MIB
    sample: Annotated[
        Share, about("Share of requests recorded, chosen by their ids, so both sides of each are or neither is")
    ] = 1.0
    floor: Annotated[
        Annotated[int, msgspec.Meta(ge=0)],
        about("Requests a minute of one endpoint that are recorded whatever `sample` says, so that rare ones are seen"),
    ] = 60
    drain: Annotated[timedelta, about("How long the end of the process may wait for what waits to be written")] = (
        timedelta(seconds=10)
    )


class LatencyShift(msgspec.Struct, frozen=True):
    """Largest relative slowdown allowed, per quantile: 0.10 is a tenth slower."""

    p50: Annotated[float, msgspec.Meta(ge=0), about("At the median")] = 0.10
    p99: Annotated[float, msgspec.Meta(ge=0), about("At the 99th percentile")] = 0.25


class Verdict(msgspec.Struct, frozen=True):
    """What a new version may do and still pass."""

    max_divergence: Annotated[Share, about("Largest divergence rate overall")] = 0.01
    max_endpoint_divergence: Annotated[Share, about("Largest divergence rate of any one endpoint")] = 0.05
    max_error_increase: Annotated[Share, about("Largest increase of the error rate")] = 0.005
    min_pairs: Annotated[Positive, about("Pairs needed before there is a verdict")] = 500
    min_effect: Annotated[
        Share, about("Net rate of a field, a pattern and a kind of difference, above which it is said to diverge")
    ] = 0.0001
    min_control: Annotated[
        Share, about("Share of an endpoint's requests that a control must answer for a pass, where one answers any")
    ] = 0.9
    warmup: Annotated[
        timedelta, about("How long after the first request to a target latencies are left out of the verdict")
    ] = timedelta()
    confidence: Annotated[Confidence, about("Confidence over everything tested together")] = 0.95
    max_latency_shift: LatencyShift = LatencyShift()


class Decode(msgspec.Struct, frozen=True):
    """How bodies are read."""

    descriptors: Annotated[
        Path | None, about("Protobuf descriptor set (`protoc --include_imports -o FILE`), for gRPC and protobuf bodies")
    ] = None


class Endpoints(msgspec.Struct, frozen=True):
    """How endpoints are named."""

    openapi: Annotated[
        tuple[Path, ...], about("OpenAPI documents (JSON) whose paths name endpoints; `[[endpoint]]` rules win")
    ] = ()


class Limits(msgspec.Struct, frozen=True):
    """Bounds that keep hostile or odd traffic from taking all memory or disk."""

    body_bytes: Annotated[
        Positive, about("Largest body after content-decoding; larger ones are incomparable", size=True)
    ] = 32 * MIB
    values: Annotated[
        Positive,
        about(
            "Most values in the document of a body (objects, arrays, what is in them; an element of markup is four); "
            "bodies with more are incomparable, as comparing them would hold up all others"
        ),
    ] = MAX_VALUES
    line_bytes: Annotated[Positive, about("Longest line of a capture; longer ones are rejects", size=True)] = 64 * MIB
    value_bytes: Annotated[Positive, about("Longest value kept in a difference; longer ones are cut", size=True)] = (
        64 * KIB
    )
    differences: Annotated[
        Positive, about("Differences kept of one comparison; of the rest as many are counted as are found in 64 MiB")
    ] = 1000
    patterns: Annotated[Positive, about("Patterns told apart per endpoint; the rest is `(other)`")] = 1000
    endpoints: Annotated[Positive, about("Endpoints told apart per service; the rest is `(other)`")] = 1000
    evidence: Annotated[
        Annotated[int, msgspec.Meta(ge=0)],
        about(
            "Requests whose exchanges are kept, per endpoint, target, pattern and kind, for side-by-side views; bodies "
            "above 1 MiB without their data"
        ),
    ] = 20
    shapes: Annotated[
        Annotated[int, msgspec.Meta(ge=0)],
        about("Live answers a minute whose shape is read, of each endpoint, target and partition"),
    ] = 100
    pending_bytes: Annotated[
        Positive,
        about("Memory of a worker for records that wait for counterparts; past it they are read again", size=True),
    ] = 256 * MIB
    spill_bytes: Annotated[
        Positive, about("Memory for joining captures, after which records wait on disk", size=True)
    ] = 64 * MIB


class Settings(msgspec.Struct, frozen=True):
    """Everything that can be set; `route`, `alert` and `hook` are the tables as written."""

    kafka: Kafka = Kafka()
    registry: Registry = Registry()
    join: Join = Join()
    store: Store = Store()
    db: Annotated[
        Path | None,
        about(
            "Database that commands read and `compare` writes",
            default="the store if it exists, else `./gnomon.duckdb`",
        ),
    ] = None
    rules: Annotated[Path | None, about("Rules file", default="`./rules.toml` if it exists")] = None
    redact: Redact = Redact()
    web: Web = Web()
    operations: Operations = Operations()
    watch: Watch = Watch()
    log: Log = Log()
    emit: Emit = Emit()
    collect: Collect = Collect()
    verdict: Verdict = Verdict()
    decode: Decode = Decode()
    endpoints: Endpoints = Endpoints()
    limits: Limits = Limits()
    route: tuple[dict[str, Any], ...] = ()
    alert: tuple[dict[str, Any], ...] = ()
    hook: tuple[dict[str, Any], ...] = ()


def read_secret(key: str, value: str | None, file: Path | None) -> str | None:
    """Give a secret that is set in place or in a file, white space around the file's text left out.

    Raises:
        ConfigError: The file cannot be read, or is empty.
    """
    if value is not None or file is None:
        return value
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{key}_file: {file} cannot be read: {error}", "correct the path or its permissions"
        ) from error
    if not text:
        raise ConfigError(f"{key}_file: {file} is empty", "put the secret into it")
    return text
