"""Databases and stores that another version of the program made: refused with a sentence, or brought up to date."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from gnomon.errors import InputError
from gnomon.model import Comparison
from gnomon.store import Landed, Selection, open_store, refresh_views
from gnomon.store.database import STORE_VERSION, views_digest
from gnomon.store.log import Layout, prepare_store
from gnomon.store.log.layout import FORMAT


@pytest.fixture
def old(target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed]) -> Path:
    """A database whose views are those of a program that knew fewer columns."""
    land(target, [(comparison(), [])])
    with duckdb.connect(str(target)) as connection:
        connection.execute("DROP MACRO views_digest")
        connection.execute("DROP MACRO TABLE judged_comparisons")
        connection.execute("CREATE MACRO judged_comparisons(since := NULL) AS TABLE SELECT 1 AS other")
        connection.execute("CREATE OR REPLACE MACRO pattern_bound() AS 7")
    return target


def test_a_reader_refuses_views_of_another_version(old: Path) -> None:
    """It says what to do instead of ending in an error of the SQL that would not fit."""
    with pytest.raises(InputError, match=f"views of another version of gnomon.*gnomon catalog --db {old}"):
        open_store(old)


def test_a_writer_brings_views_up_to_date(
    old: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed]
) -> None:
    """What lands next makes them those of this program; rows stay."""
    assert land(old, [(comparison("r-2", second=1), [])]) == Landed(1, 0, 0)
    with open_store(old) as store:
        assert store.evidence(Selection()).endpoints[0].pairs == 2


def test_views_can_be_made_anew_alone(old: Path) -> None:
    """Rows and the bound on patterns stay as they are, and a second time changes nothing."""
    refresh_views(old)
    refresh_views(old)
    with open_store(old) as store:
        assert store.summary().pairs == 1
        assert store.sql("SELECT pattern_bound()").fetchall() == [(7,)]


def test_only_a_database_has_views(tmp_path: Path) -> None:
    """A file that is not there is not made."""
    with pytest.raises(InputError, match="there is no database at"):
        refresh_views(tmp_path / "x.duckdb")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("version", "remedy"), [(STORE_VERSION + 1, "upgrade gnomon"), (0, "upgrade gnomon, or use another file")]
)
def test_another_schema_is_refused_by_both(
    target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed], version: int, remedy: str
) -> None:
    """Tables of a newer program, or of an older one that nobody migrates, are neither read nor written."""
    land(target, [(comparison(), [])])
    with duckdb.connect(str(target)) as connection:
        connection.execute("UPDATE store_version SET version = ?", [version])
    for use in (open_store, refresh_views):
        with pytest.raises(InputError, match=f"has version {version} .* knows version {STORE_VERSION}; {remedy}"):
            use(target)


def test_a_store_needs_no_older_views(tmp_path: Path) -> None:
    """Readers make their views themselves; the catalog for other clients is written anew by the next writer."""
    layout: Layout = prepare_store(tmp_path / "store")
    info = layout.info()
    assert info.views == views_digest()
    layout.write(layout.info_file, msgspec.json.encode(msgspec.structs.replace(info, views="older")))
    layout.catalog.unlink()
    with duckdb.connect(str(layout.catalog)) as connection:
        connection.execute("CREATE TABLE comparisons (one INTEGER)")
    with open_store(layout.root) as store:
        assert store.summary().pairs == 0
    prepare_store(layout.root)
    assert layout.info() == info
    with duckdb.connect(str(layout.catalog), read_only=True) as connection:
        assert connection.execute("FROM endpoint_stats").fetchall() == []


def test_a_store_of_another_format_is_refused(tmp_path: Path) -> None:
    """A newer format asks for a newer program, whoever opens the store."""
    layout: Layout = prepare_store(tmp_path / "store")
    layout.write(layout.info_file, msgspec.json.encode(msgspec.structs.replace(layout.info(), format=FORMAT + 1)))
    uses: tuple[Callable[[Path], Any], ...] = (open_store, prepare_store)
    for use in uses:
        with pytest.raises(
            InputError, match=f"format {FORMAT + 1} of the store and this program knows format {FORMAT}; upgrade"
        ):
            use(layout.root)
