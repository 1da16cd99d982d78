-- The tables of schema.sql as views over a store's files. store_root() is the store's directory as it stands in a
-- glob (files are told by their names, see layout.py), {COLUMNS of a table} its published columns; {own}, in what a writer
-- asks, those that are not published.
--
-- In each view the manifest is named first: DuckDB lists directories in the order of a statement's text, so that what a
-- listed manifest speaks of is there when the other directories are listed. One row decides for the whole view:
-- `groups` are the compacted files that count, `covered` the batches that they hold. Batches are listed once, so that
-- a revision and what it brings are there together, or neither.
-- Groups are told by a column, not by file name: a join on an integer costs some nanoseconds a row, on a name a hundred.
--
-- `revised` are the few requests of which something else landed later: what landed of them in batches before counts no
-- more. Compacted rows have no such rows among themselves; only the groups that may hold some are compared with them,
-- because to read the ids of all requests would cost ten times a view's own work.

CREATE VIEW comparisons AS
WITH manifest AS MATERIALIZED ({manifest}),
hot AS MATERIALIZED ({hot worker}),
revised AS MATERIALIZED ({revised}),
counting AS MATERIALIZED ({counting})
SELECT {columns comparisons s} {own s}
FROM counting AS c JOIN {sealed comparisons} AS s ON s.gid = c.gid
WHERE NOT c.touched
UNION ALL
SELECT {columns comparisons o} {own o}
FROM (SELECT s.* FROM counting AS c JOIN {sealed comparisons} AS s ON s.gid = c.gid WHERE c.touched) AS o
ANTI JOIN revised AS r ON r.request_id = o.request_id AND r.started_at = o.started_at
UNION ALL
SELECT {columns comparisons h} {own h}
FROM hot AS h
ANTI JOIN revised AS r
    ON r.request_id = h.request_id AND r.started_at = h.started_at AND r.series = h.series AND r.seq > h.seq
WHERE h.kind = 'comparison';

CREATE VIEW differences AS
WITH manifest AS MATERIALIZED ({manifest}),
hot AS MATERIALIZED ({hot worker}),
revised AS MATERIALIZED ({revised}),
counting AS MATERIALIZED ({counting})
SELECT {columns differences s}
FROM counting AS c JOIN {sealed differences} AS s ON s.gid = c.gid
WHERE NOT c.touched
UNION ALL
SELECT {columns differences o}
FROM (SELECT s.* FROM counting AS c JOIN {sealed differences} AS s ON s.gid = c.gid WHERE c.touched) AS o
ANTI JOIN revised AS r ON r.request_id = o.request_id AND r.started_at = o.started_at
UNION ALL
SELECT
    n.request_id, n.target, n.role, n.service, n.endpoint, n.started_at, n.d.path, n.d.shadow_path, n.d.pattern,
    n.d.kind, n.d.severity, n.d.live_value, n.d.shadow_value, n.d.noise, n.d.reason
FROM (
    SELECT h.request_id, h.target, h.role, h.service, h.endpoint, h.started_at, unnest(h.differing) AS d
    FROM hot AS h
    ANTI JOIN revised AS r
        ON r.request_id = h.request_id AND r.started_at = h.started_at AND r.series = h.series AND r.seq > h.seq
    WHERE h.kind = 'comparison'
) AS n;

CREATE VIEW exchanges AS
WITH manifest AS MATERIALIZED ({manifest}),
hot AS MATERIALIZED ({hot worker}),
revised AS MATERIALIZED ({revised}),
counting AS MATERIALIZED ({counting})
SELECT {columns exchanges s}
FROM counting AS c JOIN {sealed exchanges} AS s ON s.gid = c.gid
WHERE NOT c.touched
UNION ALL
SELECT {columns exchanges o}
FROM (SELECT s.* FROM counting AS c JOIN {sealed exchanges} AS s ON s.gid = c.gid WHERE c.touched) AS o
ANTI JOIN revised AS r ON r.request_id = o.request_id AND r.started_at = o.started_at
UNION ALL
SELECT {columns exchanges h}
FROM hot AS h
ANTI JOIN revised AS r
    ON r.request_id = h.request_id AND r.started_at = h.started_at AND r.series = h.series AND r.seq > h.seq
WHERE h.kind = 'exchange';

CREATE VIEW rejects AS
WITH manifest AS MATERIALIZED ({manifest}),
counting AS NOT MATERIALIZED (SELECT unnest(m.groups).gid AS gid FROM manifest AS m)
SELECT {columns rejects s}
FROM counting AS c JOIN {sealed rejects} AS s ON s.gid = c.gid
UNION ALL
SELECT {columns rejects h} FROM ({hot worker}) AS h WHERE h.kind = 'reject';

CREATE VIEW populations AS
WITH manifest AS MATERIALIZED ({manifest}),
counting AS NOT MATERIALIZED (SELECT unnest(m.groups).gid AS gid FROM manifest AS m)
SELECT {columns populations s}
FROM counting AS c JOIN {sealed populations} AS s ON s.gid = c.gid
UNION ALL
SELECT {columns populations h} FROM ({hot worker}) AS h WHERE h.kind = 'population';
