-- Which comparisons a question is about, under which names: macros over the tables of schema.sql (or over views of the same
-- names and columns), on which those of views.sql stand. The rows of the tables stay as they landed; what takes many
-- requests to know is said here: templates that were learned, which endpoints are too many to be told apart, and against
-- whom a miss without a name counts.

-- Whether a row says that a shadow is missing, and not which: whose answer it is that did not come is not known.
CREATE OR REPLACE MACRO is_unnamed(role, target, outcome) AS role = 'shadow' AND target = '' AND outcome = 'shadow_missing';

-- Whether a row counts for the target that is asked for. Where any will do (null), a miss without a name counts once,
-- however many targets it counts against.
CREATE OR REPLACE MACRO is_of_target(target, attribution, wanted) AS
    CASE WHEN wanted IS NULL THEN attribution <= 1 ELSE target = wanted END;

-- Whether a row is of the traffic that `choice` takes: 'include', 'exclude' or 'only' synthetic traffic.
CREATE OR REPLACE MACRO is_chosen(is_synthetic, choice) AS CASE choice
    WHEN 'include' THEN true
    WHEN 'exclude' THEN NOT is_synthetic
    WHEN 'only' THEN is_synthetic
    ELSE error('synthetic is ''include'', ''exclude'' or ''only''')
END;

CREATE OR REPLACE MACRO is_within(moment, since, until) AS
    (since IS NULL OR moment >= CAST(since AS TIMESTAMPTZ)) AND (until IS NULL OR moment < CAST(until AS TIMESTAMPTZ));

-- How many endpoints of a service keep their name; a run sets it to what its settings say.
CREATE OR REPLACE MACRO endpoint_bound() AS 1000;

-- Landed endpoint names and the templates learned for them.
CREATE OR REPLACE MACRO learned_names() AS TABLE
    SELECT l.service, l.endpoint, any_value(l.template) AS template
    FROM learned_endpoints AS l
    WHERE l.version = (SELECT max(v.version) FROM learned_endpoints AS v)
    GROUP BY l.service, l.endpoint;

-- What a time range speaks of: of how many comparisons of the chosen traffic each endpoint and target is, and whether
-- the target is that of a shadow: all that a row names, and '' where a shadow without a name answered. What asks for it
-- more than once in a statement reads comparisons for it once.
CREATE OR REPLACE MACRO counted_endpoints(since, until, synthetic) AS TABLE
    SELECT
        c.service, c.endpoint, c.target,
        count(*) FILTER (is_chosen(c.synthetic IS NOT NULL, synthetic)) AS comparisons,
        bool_or(c.role = 'shadow' AND NOT is_unnamed(c.role, c.target, c.outcome)) AS is_shadow
    FROM comparisons AS c
    WHERE is_within(c.started_at, since, until)
    GROUP BY c.service, c.endpoint, c.target;

-- The names in force: what landed endpoints are called by another name than their own, by templates learned for them,
-- and because endpoints are bounded for each service: those that the most comparisons of the time range are of keep
-- their name.
CREATE OR REPLACE MACRO names_in_force(since, until, synthetic) AS TABLE
    WITH named AS (
        SELECT e.service, e.endpoint, coalesce(t.template, e.endpoint) AS name, sum(e.comparisons) AS comparisons
        FROM counted_endpoints(since, until, synthetic) AS e
        LEFT JOIN learned_names() AS t ON t.service = e.service AND t.endpoint = e.endpoint
        GROUP BY ALL
    ),
    ranked AS (
        SELECT
            n.service, n.name,
            row_number() OVER (PARTITION BY n.service ORDER BY sum(n.comparisons) DESC, n.name) AS place
        FROM named AS n
        GROUP BY n.service, n.name
    ),
    shown AS (
        SELECT n.service, n.endpoint, CASE WHEN r.place <= endpoint_bound() THEN n.name ELSE '(other)' END AS name
        FROM named AS n
        JOIN ranked AS r ON r.service = n.service AND r.name = n.name
    )
    SELECT s.service, s.endpoint, s.name FROM shown AS s WHERE s.name <> s.endpoint;

-- The shadow targets of each service in a time range, numbered from 1.
CREATE OR REPLACE MACRO shadow_targets(since, until, synthetic) AS TABLE
    SELECT e.service, e.target, row_number() OVER (PARTITION BY e.service ORDER BY e.target) AS place
    FROM counted_endpoints(since, until, synthetic) AS e
    WHERE e.is_shadow
    GROUP BY e.service, e.target;

-- Comparisons of a time range under the names in force, which apply to all history. A miss without a name counts
-- against each target of its service: there it has a row for each, and `attribution` numbers these from 1; it is 0 where
-- a row speaks of its own target.
CREATE OR REPLACE MACRO selected_comparisons(since := NULL, until := NULL, synthetic := 'exclude') AS TABLE
    SELECT
        c.request_id, coalesce(k.target, c.target) AS target, c.role, c.service, coalesce(n.name, c.endpoint) AS endpoint,
        c.started_at, c.outcome, c.severity, c.live_status, c.shadow_status, c.live_error, c.shadow_error,
        c.live_ms, c.shadow_ms, c.delta_ms, c.duplicates, c.rules, c.flags, c.as_of, coalesce(k.place, 0) AS attribution
    FROM comparisons AS c
    LEFT JOIN names_in_force(since, until, synthetic) AS n ON n.service = c.service AND n.endpoint = c.endpoint
    LEFT JOIN shadow_targets(since, until, synthetic) AS k
        ON k.service = CASE WHEN is_unnamed(c.role, c.target, c.outcome) THEN c.service END
    WHERE is_within(c.started_at, since, until) AND is_chosen(c.synthetic IS NOT NULL, synthetic);
