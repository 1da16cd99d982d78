"""`gnomon export`, `gnomon catalog` and `gnomon compact`: what is done with a whole store."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from gnomon.cli.options import FILE, config_option, load, period_options
from gnomon.cli.text import plural
from gnomon.errors import InputError, UsageError

if TYPE_CHECKING:
    from gnomon.config import Settings
    from gnomon.store.log import Layout

__all__ = ["catalog", "compact", "export"]

NAMED = 5


class _Exported(msgspec.Struct, frozen=True):
    db: Path
    store: Path | None
    since: datetime | None
    until: datetime | None
    service: str | None
    target: str | None
    config: Path | None


def _layout(option: Path | None, settings: Settings) -> Layout:
    """Give the store to work on. Raises InputError where there is none."""
    from gnomon.store.log import is_store, store_at

    place = option or settings.store.path
    if not is_store(place):
        raise InputError(
            f"there is no store at {place}", "name the directory that `gnomon worker` writes to by --store"
        )
    return store_at(place)


_store_option = click.option("--store", metavar="DIR", type=FILE, help="Store to work on. [default: GNOMON_STORE]")


@click.command()
@click.option("--db", metavar="FILE", type=FILE, required=True, help="Database file to write; it must not be there.")
@_store_option
@period_options
@config_option
@click.pass_context
def export(context: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - see _Exported
    """Write a store, or part of it, as one portable database file.

    \b
    Examples:
      $ gnomon export --db yesterday.duckdb --since 2027-07-11 --until 2027-07-12
      $ gnomon export --db cart.duckdb --service cart --since 24h
    """
    from gnomon.store import Selection
    from gnomon.store.log.export import export_store

    given = _Exported(**options)
    layout = _layout(given.store, load(context, given.config).settings)
    selection = Selection(
        since=given.since, until=given.until, service=given.service, target=given.target, synthetic="include"
    )
    rows = export_store(layout, given.db, selection)
    comparisons, differences = plural(rows["comparisons"], "comparison"), plural(rows["differences"], "difference")
    click.echo(f"{comparisons} with {differences} written to {given.db}")


@click.command()
@click.option(
    "--at", "place", metavar="DIR", type=FILE, help="Where readers find the store. [default: where it is here]"
)
@click.option(
    "--adopt-settings",
    is_flag=True,
    help="Let the store go by the settings `store.horizon`, `limits.patterns` and `limits.endpoints` of today, "
    "not those it was made with.",
)
@_store_option
@click.option("--db", metavar="FILE", type=FILE, help="Database file whose views to make anew, instead of a store's.")
@config_option
@click.pass_context
def catalog(
    context: click.Context,
    /,
    *,
    place: Path | None,
    store: Path | None,
    db: Path | None,
    config: Path | None,
    adopt_settings: bool,
) -> None:
    """Write a store's catalog.duckdb anew: the views that any DuckDB client opens.

    Its views name files by their full paths. Where readers mount the store elsewhere, say where. With --db the views of
    a database file that an older gnomon wrote are made those of this one; its rows stay as they are.

    \b
    Examples:
      $ gnomon catalog
      $ gnomon catalog --at /mnt/analytics/gnomon.store
      $ gnomon catalog --db old.duckdb
    """
    from gnomon.store import log, refresh_views

    if db is not None:
        if place is not None or store is not None or adopt_settings:
            raise UsageError("--db is for a database file, the other options for a store", "give one of them")
        refresh_views(db)
        click.echo(f"{db} has the views of this version")
        return
    settings = load(context, config).settings
    layout = _layout(store, settings)
    info = log.adopt_settings(layout, log.StoreInfo.of(settings)) if adopt_settings else layout.info()
    written = log.write_catalog(layout, info, None if place is None else place.absolute())
    click.echo(f"{written} written for readers that find the store at {place or layout.root}")


@click.command()
@_store_option
@click.option(
    "--forget-missing", is_flag=True, help="Go on without compacted files that are gone, and lose what they held."
)
@config_option
@click.pass_context
def compact(context: click.Context, store: Path | None, config: Path | None, *, forget_missing: bool) -> None:
    """Compact a store now, and remove what is past its retention; workers may go on meanwhile.

    Damaged files are left alone and named at the end; all else is compacted.

    \b
    Examples:
      $ gnomon compact
    """
    from gnomon.store.log import Maintainer, Retention

    settings = load(context, config).settings
    maintainer = Maintainer(_layout(store, settings), Retention.of(settings))
    if forget_missing:
        for file in maintainer.forget_missing():
            click.echo(f"{file} is forgotten")
    done = maintainer.run(everything=True, wait=True)
    if done is not None:
        click.echo(
            f"{plural(done.batches, 'batch', 'batches')} compacted, {plural(done.merged, 'group')} merged, "
            f"{done.expired} expired, {plural(done.files_removed, 'file')} removed"
        )
        if done.damaged:
            more = f" and {plural(len(done.damaged) - NAMED, 'more file')}" if done.damaged[NAMED:] else ""
            named = ", ".join(map(str, done.damaged[:NAMED])) + more
            raise InputError(
                f"left as they are, because they are damaged or missing: {named}",
                "bring them back from a backup, or accept the loss: move damaged ones away, and let "
                "`gnomon compact --forget-missing` go on without those that were compacted",
            )
