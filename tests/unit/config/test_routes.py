"""`[[route]]` as structs, and what it may not say."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gnomon.config import Route, RouteTag, Taint, load_settings, read_routes
from gnomon.errors import ConfigError

FILE = Path("/etc/gnomon/gnomon.toml")


def read(*tables: dict[str, Any]) -> tuple[Route, ...]:
    """Read tables of a file."""
    return read_routes(tables, FILE)


def test_a_route_says_where_events_go_and_by_which_tags() -> None:
    """Paths are relative to the file."""
    (route,) = read(
        {
            "from": "orders",
            "clean": "orders.real",
            "synthetic": "orders.load",
            "quarantine": "orders.bad",
            "users_file": "users.txt",
            "users_paths": ["/buyer"],
            "tags": [{"path": "/user/id", "in": ["a", 7]}, {"header": "x-run", "regex": "^l", "prefix": "l"}],
        }
    )
    assert route.source == "orders"
    assert route.outputs == ("orders.real", "orders.load", "orders.bad")
    assert route.users_file == Path("/etc/gnomon/users.txt")
    assert route.users_paths == ("/buyer",)
    assert route.tags == (RouteTag(path="/user/id", among=("a", 7)), RouteTag(header="x-run", regex="^l", prefix="l"))


def test_taint_and_registered_values_are_read(tmp_path: Path) -> None:
    """A synthetic topic that others send to too would taint by their events; a registry comes from the settings."""
    taint = {"path": "/session", "for": "1h"}
    (route,) = read({"from": "orders", "taint": taint})
    assert route.taint == Taint(path="/session", span=timedelta(hours=1))
    with pytest.raises(ConfigError, match="and .* from 'carts' sends there too"):
        read({"from": "orders", "taint": taint}, {"from": "carts", "synthetic": "orders.synthetic"})
    file = tmp_path / "gnomon.toml"
    file.write_text('[registry]\nurl = "http://registry:8081"\n[[route]]\nfrom = "orders"\nvalue = "avro"\n')
    assert load_settings(file, {}).routes[0].value == "avro"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://me:secret@registry:8081", "'http://***@registry:8081'"),
        ("http://registry:8081/?token=secret", "'http://registry:8081/?***'"),
        ("http://registry:8081?token=secret", "'http://registry:8081?***'"),
        ("http://registry:8081/a#secret", "'http://registry:8081/a#***'"),
    ],
)
@pytest.mark.parametrize("section", ["registry", "web"])
def test_a_url_holds_no_secret(tmp_path: Path, section: str, url: str, shown: str) -> None:
    """URLs are shown, logged and sent on, so what may be a secret in one is refused; the sentence does not show it."""
    file = tmp_path / "gnomon.toml"
    file.write_text(f'[{section}]\nurl = "{url}"\n')
    with pytest.raises(ConfigError, match="without a user name or a query") as refused:
        load_settings(file, {})
    assert shown in str(refused.value)
    assert "secret" not in str(refused.value).rpartition("got")[2]


def test_topics_have_names_by_default() -> None:
    """Only where events come from has to be said."""
    (route,) = read({"from": "orders"})
    assert route.outputs == ("orders.clean", "orders.synthetic", "orders.quarantine")
    assert route.value == "json"
    assert route.users_paths == ("/user/id", "/user_id", "/userId")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "from is missing"),
        ({"from": 3}, "from: expected a topic's name"),
        ({"from": "or ders"}, "from: expected a topic's name"),
        ({"from": "orders", "cleen": "x"}, "there is no key 'cleen'; did you mean 'clean'?"),
        ({"from": "orders", "zz": "x"}, "there is no key 'zz'; known: clean, from"),
        ({"from": "orders", "value": "jsn"}, "value: expected one of"),
        ({"from": "orders", "value": "jsn"}, "did you mean 'json'?"),
        ({"from": "orders", "value": "avro"}, "value: 'avro' needs the schemas that values name; set registry.url"),
        ({"from": "orders", "value": "protobuf"}, "value: 'protobuf' needs the schemas"),
        ({"from": "orders", "taint": "/session"}, "taint: expected a table, got '/session'"),
        ({"from": "orders", "taint": {}}, "taint: path is missing"),
        ({"from": "orders", "taint": {"path": "/session"}}, "taint: for is missing"),
        ({"from": "orders", "taint": {"path": "session", "for": "1h"}}, "taint: path: 'session' is not a JSON Pointer"),
        ({"from": "orders", "taint": {"path": "/session", "for": "0s"}}, "taint: for: expected at least"),
        ({"from": "orders", "taint": {"path": "/session", "for": "8d"}}, "taint: for: expected at least"),
        ({"from": "orders", "taint": {"path": "/session", "for": "500us"}}, "taint: for: expected at least"),
        ({"from": "orders", "taint": {"path": "/session", "for": 3}}, "taint: for: expected"),
        ({"from": "orders", "taint": {"path": "/session", "span": "1h"}}, "taint: there is no key 'span'"),
        ({"from": "orders", "value": "bytes", "taint": {"path": "/a", "for": "1h"}}, "taint: a value of kind"),
        ({"from": "orders", "clean": "orders"}, "clean is the same topic"),
        ({"from": "orders", "quarantine": "orders"}, "quarantine is the same topic"),
        ({"from": "orders", "synthetic": "orders.clean"}, "synthetic = 'orders.clean' is the clean topic of"),
        ({"from": "orders", "value": "bytes", "users_file": "u"}, "users_file: a value of kind"),
        ({"from": "orders", "value": "bytes", "tags": [{"path": "/a"}]}, "tags: path /a: a value of kind"),
        ({"from": "orders", "users_paths": ["/a"]}, "users_paths without users_file"),
        ({"from": "orders", "users_file": "u", "users_paths": ["a"]}, "'a' is not a JSON Pointer"),
        ({"from": "orders", "tags": {}}, "tags: expected a list of tables, got a table"),
        ({"from": "orders", "tags": ["x"]}, "tags: number 1: expected a table, got 'x'"),
        ({"from": "orders", "tags": [{}]}, "a tag has either a path or a header"),
        ({"from": "orders", "tags": [{"path": "/a", "header": "b"}]}, "a tag has either a path or a header"),
        ({"from": "orders", "tags": [{"path": "a"}]}, "path: 'a' is not a JSON Pointer"),
        ({"from": "orders", "tags": [{"header": " "}]}, "header is empty"),
        ({"from": "orders", "tags": [{"path": "/a", "prefx": "b"}]}, "did you mean 'prefix'?"),
        ({"from": "orders", "tags": [{"path": "/a", "prefix": ""}]}, "prefix: every text begins with nothing"),
        ({"from": "orders", "tags": [{"path": "/a", "prefix": 3}]}, "prefix: expected text, got 3"),
        ({"from": "orders", "tags": [{"path": "/a", "regex": "("}]}, "regex: '(' is not a regular expression"),
        ({"from": "orders", "tags": [{"path": "/a", "in": []}]}, "in: expected a list of text and numbers"),
        ({"from": "orders", "tags": [{"path": "/a", "in": [[]]}]}, "in: expected a list of text and numbers"),
        ({"from": "orders", "tags": [{"path": "/a", "equals": []}]}, "equals: expected text, a number, true or false"),
    ],
)
def test_what_is_impossible_is_said_with_its_place(table: dict[str, Any], said: str) -> None:
    """The file, the table, the key and what to do."""
    with pytest.raises(ConfigError) as error:
        read(table)
    assert said in str(error.value)
    assert str(error.value).startswith(f"{FILE}: ")


def test_no_two_routes_have_one_source() -> None:
    """Each event would be sent on twice."""
    with pytest.raises(ConfigError, match="two \\[\\[route\\]\\] have from = 'orders'"):
        read({"from": "orders"}, {"from": "orders", "clean": "x"})


def test_routes_do_not_go_in_circles() -> None:
    """A synthetic event would come back, and any event for ever."""
    with pytest.raises(ConfigError, match="in a circle: a -> b -> c -> a"):
        read({"from": "a", "clean": "b"}, {"from": "b", "clean": "c"}, {"from": "c", "quarantine": "a"})


def test_routes_may_follow_one_another_and_meet() -> None:
    """Two topics into one clean one, which a third route reads."""
    assert len(read({"from": "a", "clean": "m"}, {"from": "b", "clean": "m"}, {"from": "m"})) == 3


def test_a_clean_topic_takes_nothing_that_another_route_calls_synthetic() -> None:
    """That would be a leak by configuration."""
    with pytest.raises(ConfigError, match="quarantine = 'a.clean' is the clean topic of"):
        read({"from": "a"}, {"from": "b", "quarantine": "a.clean"})


@pytest.mark.parametrize("source", ["a.quarantine", "a.synthetic"])
def test_what_was_set_aside_does_not_get_clean_again(source: str) -> None:
    """A route from another's quarantine, or from its synthetic events, would leak them."""
    with pytest.raises(ConfigError, match=r"must not get clean again"):
        read({"from": "a"}, {"from": source, "value": "bytes"})


def test_settings_are_refused_with_a_route_that_is_impossible(tmp_path: Path) -> None:
    """Every command says so, not only the one that would route."""
    file = tmp_path / "gnomon.toml"
    file.write_text('[[route]]\nfrom = "orders"\n')
    assert load_settings(file, {}).routes[0].clean == "orders.clean"
    file.write_text('[[route]]\nfrom = "orders"\nclean = "orders"\n')
    with pytest.raises(ConfigError, match="clean is the same topic"):
        load_settings(file, {})
