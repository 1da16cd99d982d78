-- The tables of schema.sql as views over a store's files. store_root() is the store's directory as it stands in a
-- glob, {horizon_us} the horizon, {COLUMNS of a table} its published columns.
--
-- In each view the manifest is named first: DuckDB lists directories in the order of a statement's text, so that what a
-- listed manifest speaks of is there when the other directories are listed. One row decides for the whole view:
-- `groups` are the compacted files that count, `covered` the batches that they hold.
-- Groups are told by a column, not by file name: a join on an integer costs some nanoseconds a row, on a name a hundred.

CREATE VIEW comparisons AS
WITH manifest AS MATERIALIZED ({manifest}),
counting AS NOT MATERIALIZED (SELECT unnest(m.groups) AS gid FROM manifest AS m),
hot AS NOT MATERIALIZED ({hot worker}),
-- The few comparisons whose counterpart came late. They stand for the row that said it was missing, also for one
-- that named no target.
late AS NOT MATERIALIZED (
    SELECT
        l.request_id, l.role, unnest([l.target, '']) AS target, true AS missing,
        l.started_at - to_microseconds({horizon_us}) AS after, l.started_at + to_microseconds({horizon_us}) AS before
    FROM (
        SELECT s.request_id, s.target, s.role, s.started_at
        FROM counting AS c JOIN {sealed late} AS s ON s.gid = c.gid
        UNION ALL
        SELECT h.request_id, h.target, h.role, h.started_at FROM hot AS h WHERE h.kind = 'comparison' AND h.late
    ) AS l
),
superseded AS NOT MATERIALIZED (
    SELECT {columns comparisons s}
    FROM counting AS c JOIN {sealed missing} AS s ON s.gid = c.gid
    UNION ALL
    SELECT {columns comparisons h} FROM hot AS h WHERE h.kind = 'comparison'
)
SELECT {columns comparisons s}
FROM counting AS c JOIN {sealed comparisons} AS s ON s.gid = c.gid
UNION ALL
SELECT {columns comparisons o}
FROM superseded AS o
ANTI JOIN late AS l ON l.request_id = o.request_id AND l.role = o.role AND l.target = o.target
    AND l.missing = (o.outcome IN ('shadow_missing', 'live_missing'))
    AND l.after < o.started_at AND l.before > o.started_at;

CREATE VIEW differences AS
WITH manifest AS MATERIALIZED ({manifest}),
counting AS NOT MATERIALIZED (SELECT unnest(m.groups) AS gid FROM manifest AS m),
hot AS NOT MATERIALIZED ({hot worker})
SELECT {columns differences s}
FROM counting AS c JOIN {sealed differences} AS s ON s.gid = c.gid
UNION ALL
SELECT
    n.request_id, n.target, n.role, n.service, n.endpoint, n.started_at, n.d.path, n.d.shadow_path, n.d.pattern,
    n.d.kind, n.d.severity, n.d.live_value, n.d.shadow_value, n.d.noise, n.d.reason
FROM (
    SELECT h.request_id, h.target, h.role, h.service, h.endpoint, h.started_at, unnest(h.differing) AS d
    FROM hot AS h WHERE h.kind = 'comparison'
) AS n;

CREATE VIEW exchanges AS
WITH manifest AS MATERIALIZED ({manifest}),
counting AS NOT MATERIALIZED (SELECT unnest(m.groups) AS gid FROM manifest AS m)
SELECT {columns exchanges s}
FROM counting AS c JOIN {sealed exchanges} AS s ON s.gid = c.gid
UNION ALL
SELECT {columns exchanges h} FROM ({hot worker}) AS h WHERE h.kind = 'exchange';

CREATE VIEW rejects AS
WITH manifest AS MATERIALIZED ({manifest}),
counting AS NOT MATERIALIZED (SELECT unnest(m.groups) AS gid FROM manifest AS m)
SELECT {columns rejects s}
FROM counting AS c JOIN {sealed rejects} AS s ON s.gid = c.gid
UNION ALL
SELECT {columns rejects h} FROM ({hot worker}) AS h WHERE h.kind = 'reject';

CREATE VIEW populations AS
WITH manifest AS MATERIALIZED ({manifest}),
counting AS NOT MATERIALIZED (SELECT unnest(m.groups) AS gid FROM manifest AS m)
SELECT {columns populations s}
FROM counting AS c JOIN {sealed populations} AS s ON s.gid = c.gid
UNION ALL
SELECT {columns populations h} FROM ({hot worker}) AS h WHERE h.kind = 'population';
