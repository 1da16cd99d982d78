"""The file of users is followed, and a broken one does not count."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gnomon.errors import ConfigError
from gnomon.stream.route import users as module
from gnomon.stream.route.users import Users


def put(file: Path, data: bytes) -> None:
    """Write a file anew, as those should who write it."""
    beside = file.with_name("beside")
    beside.write_bytes(data)
    beside.rename(file)


def test_one_id_a_line(tmp_path: Path) -> None:
    """White space, empty lines, line ends and a byte order mark make no id."""
    file = tmp_path / "users"
    file.write_bytes(b"\xef\xbb\xbf 7 \r\n\r\nu-\xc3\xa9\n\t\nlast")
    assert set(Users(file)) == {"7", "u-é", "last"}


@pytest.mark.parametrize("data", [None, b"", b" \n\n", b"\xff\xfe7\x00"])
def test_at_the_start_a_file_that_cannot_be_used_is_an_error(tmp_path: Path, data: bytes | None) -> None:
    """There is nothing that could stay in force."""
    file = tmp_path / "users"
    if data is not None:
        file.write_bytes(data)
    with pytest.raises(ConfigError, match="users_file"):
        Users(file)


def test_a_new_file_is_read_once_it_has_settled(tmp_path: Path) -> None:
    """The second look that finds it the same reads it."""
    file = tmp_path / "users"
    put(file, b"old\n")
    users = Users(file)
    put(file, b"new\nnewer\n")
    users.look()
    assert "old" in users
    users.look()
    assert set(users) == {"new", "newer"}
    assert len(users) == 2


@pytest.mark.parametrize("data", [None, b"", b"\xff"])
def test_a_broken_new_file_keeps_the_old_users(
    tmp_path: Path, data: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so once, and a good one after it counts again."""
    file = tmp_path / "users"
    put(file, b"old\n")
    users = Users(file)
    if data is None:
        file.unlink()
    else:
        put(file, data)
    for _ in range(4):
        users.look()
    assert "old" in users
    assert users.problem
    assert caplog.text.count("stay in force") == 1
    put(file, b"old\nnew\n")
    users.look()
    users.look()
    assert (users.problem, "new" in users) == ("", True)


def test_a_file_that_is_being_written_is_not_read(tmp_path: Path) -> None:
    """Half a file would be half the users."""
    file = tmp_path / "users"
    put(file, b"a\nb\n")
    users = Users(file)
    for number in range(3):
        file.write_bytes(b"a\n" * (number + 2))
        os.utime(file, (1000 + number, 1000 + number))
        users.look()
    assert set(users) == {"a", "b"}


def test_a_file_that_is_replaced_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was when it was looked at counts, not what it is when it has been read."""
    file = tmp_path / "users"
    put(file, b"old\n")
    read = module._read

    def replaced(path: Path) -> frozenset[str]:
        found = read(path)
        monkeypatch.setattr(module, "_read", read)
        put(file, b"new\n")
        return found

    monkeypatch.setattr(module, "_read", replaced)
    users = Users(file)
    assert set(users) == {"old"}
    users.look()
    users.look()
    assert set(users) == {"new"}
