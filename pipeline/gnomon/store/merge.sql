-- Lands a stage (attached as stage) in a database (attached as target), in one transaction.
--
-- Parameters are session variables: horizon_us, landed_at, keep_evidence, marks_differ, and earliest and latest, the range in
-- which a landed row can be within the horizon of a staged one. What becomes of each staged comparison:
--   unchanged  a landed row of the same request, target and role says the same: nothing is written
--   replaced   there are such rows within the horizon and none says the same: they give way
--   new        there is none
-- A comparison also replaces the landed shadow_missing row of its request that names no target. A row that says that a
-- side is missing is unchanged where a comparison of both has landed: what one run was not given another one had.
-- Marks of redacted secrets count as equal where marks_differ: without a key in the settings each run hashes with
-- another one.
-- Contents are told apart by 64-bit hashes, so that joins stay narrow; which rows are the same request is never
-- left to a hash.
CREATE OR REPLACE TEMP MACRO unmarked(value) AS
    CASE WHEN getvariable('marks_differ') AND contains(value, 'hmac-sha256:')
        THEN regexp_replace(value, '(redacted:)?hmac-sha256:(%3A)?[0-9a-f]{16,64}', 'redacted', 'g')
        ELSE value
    END;

CREATE OR REPLACE TEMP MACRO comparison_content(c) AS hash(
    c.target, c.service, c.endpoint, c.method, unmarked(c.path), c.started_at, c.live_target, c.live_status,
    c.shadow_status, c.live_error, c.shadow_error, c.live_ms, c.shadow_ms, c.delta_ms, c.outcome, c.differences,
    c.noise_differences, c.severity, c.late, c.duplicates, c.synthetic, c.flags, c.as_of, c.rules);

CREATE OR REPLACE TEMP MACRO difference_content(d) AS hash(
    unmarked(d.path), unmarked(d.shadow_path), unmarked(d.pattern), d.kind, d.severity, unmarked(d.live_value),
    unmarked(d.shadow_value), d.noise, d.reason)::HUGEINT;

-- Whether a staged row says that a side is missing, and a landed one of the request (of any target, where it names none)
-- has both.
CREATE OR REPLACE TEMP MACRO is_covered(s, t) AS
    s.outcome IN ('shadow_missing', 'live_missing') AND t.outcome NOT IN ('shadow_missing', 'live_missing')
    AND (t.target = s.target OR s.target = '' AND s.outcome = 'shadow_missing');

CREATE OR REPLACE TEMP MACRO comparison_key(d) AS hash(d.request_id, d.target, d.role, d.started_at);

BEGIN;

CREATE TEMP TABLE matches AS
SELECT
    s.staged, t.landed, t.request_id, t.target, t.role, t.started_at, t.run, t.key,
    is_covered(s, t) OR t.content = s.content AS equal, is_covered(s, t) AS covered
FROM (
    SELECT
        c.rowid AS staged, c.request_id, c.target, c.role, c.started_at, c.outcome, comparison_content(c) AS content
    FROM stage.comparisons AS c
) AS s
JOIN (
    SELECT
        c.rowid AS landed, c.request_id, c.target, c.role, c.started_at, c.outcome, c.run,
        comparison_key(c) AS key, comparison_content(c) AS content
    FROM target.comparisons AS c
    WHERE c.started_at BETWEEN getvariable('earliest') AND getvariable('latest')
) AS t ON t.request_id = s.request_id AND t.role = s.role
WHERE abs(epoch_us(s.started_at) - epoch_us(t.started_at)) < getvariable('horizon_us')
    AND (t.target = s.target OR (t.target = '' AND t.outcome = 'shadow_missing' AND s.outcome != 'shadow_missing')
        OR is_covered(s, t));

-- A comparison that looks the same is still another answer when its differences are not the same set.
CREATE TEMP TABLE changed AS
SELECT x.key
FROM (
    SELECT comparison_key(d) AS key, difference_content(d) AS content, 1 AS side
    FROM stage.differences AS d
    UNION ALL
    SELECT comparison_key(d) AS key, -difference_content(d) AS content, -1 AS side
    FROM target.differences AS d
    WHERE d.started_at BETWEEN getvariable('earliest') AND getvariable('latest')
) AS x
WHERE x.key IN (SELECT m.key FROM matches AS m WHERE m.equal)
GROUP BY x.key
HAVING sum(x.content) != 0 OR sum(x.side) != 0;

UPDATE matches SET equal = false WHERE NOT covered AND key IN (SELECT c.key FROM changed AS c);

-- Every staged comparison that is written, and the run it keeps when it is judged again.
CREATE TEMP TABLE written AS
SELECT s.rowid AS staged, s.request_id, s.target, s.role, s.started_at, m.staged IS NOT NULL AS replaces, m.run
FROM stage.comparisons AS s
LEFT JOIN (
    SELECT x.staged, bool_or(x.equal) AS equal, min(x.run) AS run FROM matches AS x GROUP BY x.staged
) AS m ON m.staged = s.rowid
WHERE m.equal IS DISTINCT FROM true;

-- Every landed comparison that gives way.
CREATE TEMP TABLE doomed AS
SELECT DISTINCT m.landed, m.request_id, m.target, m.role, m.started_at
FROM matches AS m
WHERE m.staged IN (SELECT w.staged FROM written AS w)
    AND m.landed NOT IN (SELECT x.landed FROM matches AS x WHERE x.equal);

DELETE FROM target.comparisons WHERE rowid IN (SELECT d.landed FROM doomed AS d);

DELETE FROM target.differences AS t USING doomed AS d
WHERE t.request_id = d.request_id AND t.target = d.target AND t.role = d.role AND t.started_at = d.started_at;

-- Evidence of what gave way goes with it; the live record stays while another comparison needs it.
DELETE FROM target.exchanges AS t USING doomed AS d
WHERE NOT getvariable('keep_evidence') AND t.request_id = d.request_id
    AND abs(epoch_us(t.started_at) - epoch_us(d.started_at)) < getvariable('horizon_us')
    AND ((t.role = d.role AND t.target = d.target) OR (t.role = 'live' AND NOT EXISTS (
        SELECT 1 FROM target.comparisons AS c
        WHERE c.request_id = d.request_id AND c.started_at = d.started_at AND c.outcome NOT IN ('match', 'noise'))));

CREATE TEMP TABLE written_exchanges AS
SELECT e.* FROM stage.exchanges AS e
WHERE getvariable('keep_evidence') OR EXISTS (
    SELECT 1 FROM written AS w
    WHERE w.request_id = e.request_id AND (e.role = 'live' OR (w.role = e.role AND w.target = e.target)));

DELETE FROM target.exchanges AS t USING written_exchanges AS e
WHERE t.request_id = e.request_id AND t.role = e.role AND t.target = e.target
    AND abs(epoch_us(t.started_at) - epoch_us(e.started_at)) < getvariable('horizon_us');

INSERT INTO target.comparisons BY NAME
SELECT s.* REPLACE (coalesce(s.run, w.run) AS run, getvariable('landed_at') AS landed_at)
FROM stage.comparisons AS s
JOIN written AS w ON w.staged = s.rowid;

INSERT INTO target.differences BY NAME
SELECT d.* FROM stage.differences AS d
WHERE EXISTS (
    SELECT 1 FROM written AS w
    WHERE w.request_id = d.request_id AND w.target = d.target AND w.role = d.role AND w.started_at = d.started_at);

INSERT INTO target.exchanges BY NAME SELECT e.* FROM written_exchanges AS e;

INSERT INTO target.rejects BY NAME
SELECT r.* REPLACE (getvariable('landed_at') AS landed_at) FROM stage.rejects AS r
WHERE NOT EXISTS (
    SELECT 1 FROM target.rejects AS t
    WHERE t.source = r.source AND t.line IS NOT DISTINCT FROM r.line
        AND t."partition" IS NOT DISTINCT FROM r."partition" AND t."offset" IS NOT DISTINCT FROM r."offset"
        AND t.reason = r.reason AND t.excerpt = r.excerpt);

-- Counts of the same capture are the same rows; they are there once.
CREATE OR REPLACE TEMP MACRO population_content(p) AS
    hash(p.service, p.endpoint, p.target, p.minute, p.measure, p.field, p.value, p.responses)::HUGEINT;

INSERT INTO target.populations BY NAME
SELECT s.* FROM stage.populations AS s
WHERE (SELECT {'rows': count(*), 'content': sum(population_content(x))} FROM stage.populations AS x) NOT IN (
    SELECT {'rows': count(*), 'content': sum(population_content(t))} FROM target.populations AS t GROUP BY t.run);

INSERT INTO target.rule_versions BY NAME
SELECT v.* FROM stage.rule_versions AS v
WHERE v.version NOT IN (SELECT t.version FROM target.rule_versions AS t);

INSERT INTO target.runs BY NAME
SELECT r.* REPLACE (
    (SELECT count(*) FROM stage.comparisons) - (SELECT count(*) FROM written AS w) AS unchanged,
    (SELECT count(*) FROM written AS w WHERE NOT w.replaces) AS new,
    (SELECT count(*) FROM written AS w WHERE w.replaces) AS replaced)
FROM stage.runs AS r;

COMMIT;
