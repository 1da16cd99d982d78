"""Settings: the file, the environment, and what is said when one of them is wrong."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from pathlib import Path

import pytest

from gnomon.config import MASK, Settings, find_database, find_rules, load_settings, render_settings
from gnomon.config.load import keys
from gnomon.errors import ConfigError


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run where there is no settings file."""
    monkeypatch.chdir(tmp_path)


def write(text: str, name: str = "gnomon.toml") -> Path:
    """Put a settings file into the current directory."""
    file = Path(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def test_everything_has_a_default() -> None:
    """Without a file and an environment there are the settings everyone starts with."""
    loaded = load_settings(None, {})
    assert loaded.settings == Settings()
    assert (loaded.file, loaded.origins, loaded.warnings) == (None, {}, ())
    assert loaded.settings.kafka.bootstrap == "127.0.0.1:9092"
    assert loaded.settings.join.window == timedelta(seconds=30)
    assert loaded.settings.limits.body_bytes == 32 * 1024 * 1024
    assert loaded.settings.verdict.max_latency_shift.p99 == 0.25


def test_the_file_in_the_current_directory_is_read() -> None:
    """`./gnomon.toml` is found without being named, and each kind of value is read as what it is."""
    write(
        """
        db = "found.duckdb"
        [kafka.security]
        protocol = "sasl_ssl"
        [join]
        window = "90s"
        expect = ["shadow:cart@2", "control"]
        [limits]
        body_bytes = "1MiB"
        line_bytes = 4096
        [redact]
        enabled = false
        [[route]]
        from = "orders"
        """
    )
    settings = load_settings(None, {}).settings
    assert settings.db == Path("found.duckdb")
    assert settings.kafka.security.protocol == "sasl_ssl"
    assert settings.join.window == timedelta(seconds=90)
    assert settings.join.expect == ("shadow:cart@2", "control")
    assert (settings.limits.body_bytes, settings.limits.line_bytes) == (1024 * 1024, 4096)
    assert settings.redact.enabled is False
    assert settings.route == ({"from": "orders"},)


def test_the_option_wins_over_the_variable_that_names_the_file() -> None:
    """`--config` is asked first, then `GNOMON_CONFIG`, then the current directory."""
    write('[kafka]\ngroup = "here"')
    write('[kafka]\ngroup = "variable"', "variable.toml")
    option = write('[kafka]\ngroup = "option"', "option.toml")
    environ = {"GNOMON_CONFIG": "variable.toml"}
    assert load_settings(option, environ).settings.kafka.group == "option"
    assert load_settings(None, environ).settings.kafka.group == "variable"
    assert load_settings(None, {}).settings.kafka.group == "here"


def test_the_environment_wins_over_the_file() -> None:
    """A variable is taken where file and environment disagree, and its name is the value's origin."""
    file = write('[join]\nwindow = "90s"\nskew = "2m"')
    loaded = load_settings(None, {"GNOMON_JOIN_WINDOW": "5s"})
    assert (loaded.settings.join.window, loaded.settings.join.skew) == (timedelta(seconds=5), timedelta(minutes=2))
    assert loaded.origins == {"join.window": "GNOMON_JOIN_WINDOW", "join.skew": str(file)}


@pytest.mark.parametrize(
    ("variable", "text", "dotted", "value"),
    [
        ("GNOMON_KAFKA", "k1:9092,k2:9092", "kafka.bootstrap", "k1:9092,k2:9092"),
        ("GNOMON_TOPIC", "t", "kafka.topic", "t"),
        ("GNOMON_GROUP", "g", "kafka.group", "g"),
        ("GNOMON_KAFKA_SASL", "PLAIN", "kafka.security.sasl", "PLAIN"),
        ("GNOMON_JOIN_LATENESS", "1h", "join.lateness", timedelta(hours=1)),
        ("GNOMON_JOIN_EXPECT", "shadow, control", "join.expect", ("shadow", "control")),
        ("GNOMON_JOIN_EXPECT", "", "join.expect", ()),
        ("GNOMON_STORE", "/data/store", "store.path", Path("/data/store")),
        ("GNOMON_STORE_HORIZON", "2d", "store.horizon", timedelta(days=2)),
        ("GNOMON_DB", "x.duckdb", "db", Path("x.duckdb")),
        ("GNOMON_DB", "", "db", None),
        ("GNOMON_RULES", "r.toml", "rules", Path("r.toml")),
        ("GNOMON_REDACT_KEY", "k", "redact.key", "k"),
        ("GNOMON_REDACT_ENABLED", "no", "redact.enabled", False),
        ("GNOMON_WEB_BIND", "[::]:80", "web.bind", "[::]:80"),
        ("GNOMON_WEB_TOKEN", "t", "web.token", "t"),
        ("GNOMON_OPERATIONS_BIND", "0.0.0.0:1", "operations.bind", "0.0.0.0:1"),
        ("GNOMON_VERDICT_MIN_PAIRS", "7", "verdict.min_pairs", 7),
        ("GNOMON_VERDICT_MAX_LATENCY_SHIFT_P50", "0.5", "verdict.max_latency_shift.p50", 0.5),
        ("GNOMON_LIMITS_VALUE_BYTES", "1KiB", "limits.value_bytes", 1024),
        ("GNOMON_ENDPOINTS_OPENAPI", "a.json,b.json", "endpoints.openapi", (Path("a.json"), Path("b.json"))),
    ],
)
def test_each_variable_sets_its_key(variable: str, text: str, dotted: str, value: object) -> None:
    """Every name of the environment reaches the setting that the reference says."""
    found: object = load_settings(None, {variable: text}).settings
    for name in dotted.split("."):
        found = getattr(found, name)
    assert found == value


def test_paths_are_relative_to_the_file_that_names_them() -> None:
    """A settings file can be used from another directory; absolute paths stay as they are."""
    file = write('rules = "rules.toml"\ndb = "/data/x.duckdb"\n[endpoints]\nopenapi = ["api.json"]', "etc/gnomon.toml")
    settings = load_settings(file, {}).settings
    assert (settings.rules, settings.db) == (Path("etc/rules.toml"), Path("/data/x.duckdb"))
    assert settings.endpoints.openapi == (Path("etc/api.json"),)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[join]\nwindo = '1s'", "gnomon.toml: [join] has no key 'windo'; did you mean 'window'?"),
        ("[jion]\nwindow = '1s'", "gnomon.toml: there is no section or key 'jion'; did you mean 'join'?"),
        ("window = '1s'", "gnomon.toml: there is no section or key 'window'; did you mean 'join.window'?"),
        ("[kafka.security]\nprotokol = 'ssl'", "gnomon.toml: [kafka.security] has no key 'protokol'; did you mean"),
        ("[store]\nzzz = 1", "gnomon.toml: [store] has no key 'zzz'; the closest is"),
        ("join = 3", "gnomon.toml: join: expected a table, got 3; write [join]"),
        ("[join]\nwindow = 30", 'gnomon.toml: [join] window: expected a duration such as "30s", got 30'),
        ("[join]\nwindow = 'soon'", "gnomon.toml: [join] window: 'soon' is not a duration"),
        ("[join]\nwindow = '999999999999d'", "gnomon.toml: [join] window: "),
        ("[join]\nexpect = ['shadwo']", 'gnomon.toml: [join] expect: expected a list of "shadow", "shadow:TARGET" or'),
        ("[join]\nexpect = 'shadow'", "gnomon.toml: [join] expect: expected a list of"),
        ("[kafka]\nbootstrap = 'kafka'", "gnomon.toml: [kafka] bootstrap: expected addresses such as"),
        (
            "[kafka.security]\nprotocol = 'tls'",
            'protocol: expected one of "plaintext", "ssl", "sasl_plaintext", "sasl_',
        ),
        ("[redact]\nenabled = 'yes'", "gnomon.toml: [redact] enabled: expected true or false, got 'yes'"),
        ("[verdict]\nmax_divergence = 1.5", "max_divergence: expected a number between 0 and 1, got 1.5"),
        ("[verdict]\nmax_divergence = true", "max_divergence: expected a number between 0 and 1, got true"),
        ("[verdict]\nmin_pairs = 0", "min_pairs: expected a whole number of at least 1, got 0"),
        ("[limits]\nbody_bytes = 'large'", "gnomon.toml: [limits] body_bytes: 'large' is not a size"),
        ("[limits]\nbody_bytes = 1.5", 'body_bytes: expected a size such as "32MiB", got 1.5'),
        ("db = ['x']", "gnomon.toml: db: expected a path, got a list"),
        ("[web]\nbind = 8080", 'gnomon.toml: [web] bind: expected an address such as "127.0.0.1:8080", got 8080'),
        ("[route]\nfrom = 'x'", "gnomon.toml: route must be an array of tables; write [[route]]"),
        ("alert = [1]", "gnomon.toml: alert must be an array of tables; write [[alert]]"),
        ("[join\n", "gnomon.toml is not TOML: "),
        ("[redact]\nkey = 'k'\nkey_file = 'f'", "redact.key and redact.key_file are both set; keep one of them"),
    ],
)
def test_what_is_wrong_in_the_file_is_said_with_its_place(text: str, sentence: str) -> None:
    """An error names the file, the section, the key, what was expected and the closest key."""
    write(text)
    with pytest.raises(ConfigError) as raised:
        load_settings(None, {})
    assert sentence in str(raised.value)
    assert raised.value.exit_code == 2


@pytest.mark.parametrize(
    ("variable", "text", "sentence"),
    [
        ("GNOMON_JOIN_WINDOW", "30", "GNOMON_JOIN_WINDOW (join.window): '30' is not a duration"),
        ("GNOMON_REDACT_ENABLED", "maybe", "expected true or false, got 'maybe'"),
        ("GNOMON_VERDICT_MIN_PAIRS", "many", "expected a whole number of at least 1, got 'many'"),
        ("GNOMON_VERDICT_MAX_DIVERGENCE", "7", "expected a number between 0 and 1, got 7.0"),
        ("GNOMON_KAFKA_PROTOCOL", "tls", "expected one of"),
        ("GNOMON_CONFIG", "absent.toml", "absent.toml cannot be read: No such file or directory"),
    ],
)
def test_what_is_wrong_in_the_environment_names_the_variable(variable: str, text: str, sentence: str) -> None:
    """An error in a variable names it and the key that it stands for."""
    with pytest.raises(ConfigError) as raised:
        load_settings(None, {variable: text})
    assert sentence in str(raised.value)


def test_a_file_that_is_not_text_is_said_to_be_so() -> None:
    """Bytes that are no UTF-8 are an error of the file, not a crash."""
    Path("gnomon.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not TOML"):
        load_settings(None, {})


def test_an_unknown_variable_is_a_warning_with_the_closest_name() -> None:
    """A misspelt variable is noticed; those of tests, of Kubernetes and of other programs are not."""
    environ = {
        "GNOMON_JOIN_WINDO": "1s",
        "GNOMON_TEST_KAFKA": "x:1",
        "GNOMON_WEB_SERVICE_HOST": "10.0.0.1",
        "GNOMON_WEB_PORT_8080_TCP_ADDR": "10.0.0.1",
        "HOME": "/",
    }
    (warning,) = load_settings(None, environ).warnings
    assert warning == "the environment variable GNOMON_JOIN_WINDO is not a setting; did you mean GNOMON_JOIN_WINDOW?"


def test_secrets_are_read_from_files() -> None:
    """The file's text without its last line break is the secret, and it is read only when asked for."""
    write("from a file\n", "secret")
    settings = load_settings(None, {"GNOMON_REDACT_KEY_FILE": "secret", "GNOMON_WEB_TOKEN_FILE": "absent"}).settings
    assert settings.redact.read_key() == "from a file"
    with pytest.raises(ConfigError, match=r"web\.token_file: absent cannot be read"):
        settings.web.read_token()
    assert settings.kafka.security.read_password() is None
    assert settings.kafka.security.read_key_password() is None


def test_an_empty_secret_file_is_an_error() -> None:
    """An empty key would be no key."""
    write("\n", "secret")
    with pytest.raises(ConfigError, match="is empty"):
        load_settings(None, {"GNOMON_REDACT_KEY_FILE": "secret"}).settings.redact.read_key()


@pytest.mark.parametrize(
    ("in_file", "variable", "expected"),
    [
        ("key = 'in the file'", "GNOMON_REDACT_KEY_FILE", (None, Path("other"))),
        ("key_file = 'in the file'", "GNOMON_REDACT_KEY", ("other", None)),
    ],
)
def test_a_secret_of_the_environment_replaces_both_forms_in_the_file(
    in_file: str, variable: str, expected: tuple[object, object]
) -> None:
    """A variable wins over the file, also where one is the secret and the other the file that holds it."""
    write(f"[redact]\n{in_file}")
    redact = load_settings(None, {variable: "other"}).settings.redact
    assert (redact.key, redact.key_file) == expected


def test_what_is_shown_can_be_read_again_and_has_no_secrets() -> None:
    """The effective settings are TOML that gives the same settings; secrets are masked, in raw tables too."""
    write(
        """
        rules = 'a "quoted" name.toml'
        [redact]
        key = "hidden-1"
        [web]
        token = "hidden-2"
        [kafka.security]
        password = "hidden-3"
        [[route]]
        from = "orders"
        tags = [{ path = "/user/id", in = ["synthetic-1", "synthetic-2"] }]
        [[hook]]
        name = "pager"
        type = "pagerduty"
        routing_key = "hidden-5"
        [[alert]]
        name = "price"
        metric = "divergence_rate"
        above = 0.5
        hooks = ["pager", "https://example.org/hidden-6", { url = "https://example.org/hidden-7", secret = "hidden-8" }]
        """
    )
    loaded = load_settings(None, {"GNOMON_JOIN_WINDOW": "5s"})
    shown = render_settings(loaded)
    assert "hidden" not in shown
    assert shown.count(MASK) == 7
    assert 'window = "5s"  # GNOMON_JOIN_WINDOW' in shown
    again = tomllib.loads(shown)
    assert again["join"]["expect"] == ["shadow"]
    assert again["route"] == [{"from": "orders", "tags": [{"path": "/user/id", "in": ["synthetic-1", "synthetic-2"]}]}]
    assert again["alert"][0]["hooks"] == [
        "pager",
        f"https://{MASK}",
        {"url": f"https://{MASK}", "secret": MASK},
    ]
    Path("gnomon.toml").unlink()
    write(shown, "again.toml")
    settings = load_settings(Path("again.toml"), {}).settings
    assert (settings.join, settings.limits, settings.rules) == (
        loaded.settings.join,
        loaded.settings.limits,
        loaded.settings.rules,
    )


def test_no_two_settings_share_a_variable() -> None:
    """Each setting has its own name in the environment, and each has a description."""
    every = list(keys())
    assert len({key.env for key in every}) == len(every)
    assert [key.dotted for key in every if not key.leaf.description] == []


def test_the_database_is_looked_for_in_the_order_of_the_contract(tmp_path: Path) -> None:
    """The option, then the setting, then the store if it is there, then ./gnomon.duckdb."""
    assert find_database(None, Settings()) == Path("gnomon.duckdb")
    (tmp_path / "gnomon.store").mkdir()
    assert find_database(None, Settings()) == Path("gnomon.store")
    assert find_database(None, Settings(db=Path("set.duckdb"))) == Path("set.duckdb")
    assert find_database(Path("named.duckdb"), Settings(db=Path("set.duckdb"))) == Path("named.duckdb")


def test_rules_are_optional(tmp_path: Path) -> None:
    """Without an option and a setting, ./rules.toml holds if it is there."""
    assert find_rules(None, Settings()) is None
    (tmp_path / "rules.toml").touch()
    assert find_rules(None, Settings()) == Path("rules.toml")
    assert find_rules(None, Settings(rules=Path("set.toml"))) == Path("set.toml")
    assert find_rules(Path("named.toml"), Settings(rules=Path("set.toml"))) == Path("named.toml")
