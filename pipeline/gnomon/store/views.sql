-- Views and macros over the tables of schema.sql (or over views of the same names and columns).
--
-- endpoint_stats, field_stats and latency_stats are views over real traffic, and table macros of the same names
-- that take since (included), until (excluded) and synthetic ('include', 'exclude' or 'only').
-- Columns are always qualified: a bare name would be taken for the macro's parameter.

-- A 95 % bound of the share of n requests that diverged, at z = -1.96 (lower) or 1.96 (upper). Without a control:
-- Wilson (1927). With one: Agresti and Min (2005) for the difference of paired shares, which adds half a request
-- to each discordant cell and two to n.
CREATE MACRO rate_bound(diverged, control_only, n, has_control, z) AS
    CASE
        WHEN n = 0 THEN NULL
        WHEN has_control THEN greatest(0.0, least(1.0,
            ((diverged - control_only)
                + z * sqrt(diverged + control_only + 1 - (diverged - control_only) ** 2 / (n + 2))) / (n + 2)))
        ELSE greatest(0.0, least(1.0,
            (diverged + z * z / 2 + z * sqrt(diverged * (n - diverged) / n + z * z / 4)) / (n + z * z)))
    END;

CREATE MACRO rate_lo(diverged, control_only, n, has_control) AS
    rate_bound(diverged, control_only, n, has_control, -1.959963984540054);

CREATE MACRO rate_hi(diverged, control_only, n, has_control) AS
    rate_bound(diverged, control_only, n, has_control, 1.959963984540054);

-- The share of n requests that diverged, net of those whose control diverged while the shadow matched.
CREATE MACRO net_rate(diverged, control_only, n) AS
    CASE WHEN n > 0 THEN greatest(diverged - control_only, 0) / n END;

CREATE MACRO diverges(outcome) AS outcome IN ('diff', 'live_error', 'shadow_error', 'shadow_missing');

-- Whether two answers were there to be compared.
CREATE MACRO is_pair(outcome) AS outcome NOT IN ('shadow_missing', 'live_missing');

-- Whether the comparison counts in the denominator of a divergence rate.
CREATE MACRO is_judged(outcome) AS outcome NOT IN ('live_missing', 'incomparable');

CREATE MACRO severity_rank(severity) AS CASE severity WHEN 'high' THEN 3 WHEN 'medium' THEN 2 WHEN 'low' THEN 1 ELSE 0 END;

-- Comparisons of a time range under the names in force: learned templates apply to all history.
CREATE MACRO selected_comparisons(since := NULL, until := NULL, synthetic := 'exclude') AS TABLE
    WITH learned AS (
        SELECT l.service, l.endpoint, any_value(l.template) AS template
        FROM learned_endpoints AS l
        WHERE l.version = (SELECT max(v.version) FROM learned_endpoints AS v)
        GROUP BY l.service, l.endpoint
    )
    SELECT
        c.request_id, c.target, c.role, c.service, coalesce(t.template, c.endpoint) AS endpoint, c.started_at,
        c.outcome, c.severity, c.live_ms, c.shadow_ms, c.delta_ms, c.duplicates, c.rules
    FROM comparisons AS c
    LEFT JOIN learned AS t ON t.service = c.service AND t.endpoint = c.endpoint
    WHERE (since IS NULL OR c.started_at >= CAST(since AS TIMESTAMPTZ))
        AND (until IS NULL OR c.started_at < CAST(until AS TIMESTAMPTZ))
        AND CASE synthetic
            WHEN 'include' THEN true
            WHEN 'exclude' THEN c.synthetic IS NULL
            WHEN 'only' THEN c.synthetic IS NOT NULL
            ELSE error('synthetic is ''include'', ''exclude'' or ''only''')
        END;

-- Comparisons of role shadow, each with what the same request's control says: null where it has none,
-- else whether the control diverged while the shadow matched.
CREATE MACRO judged_comparisons(since := NULL, until := NULL, synthetic := 'exclude') AS TABLE
    WITH selected AS MATERIALIZED (SELECT * FROM selected_comparisons(since, until, synthetic)),
    control AS (
        SELECT k.request_id, k.started_at, bool_or(diverges(k.outcome)) AS diverged
        FROM selected AS k
        WHERE k.role = 'control' AND is_judged(k.outcome)
        GROUP BY k.request_id, k.started_at
    )
    SELECT
        s.request_id, s.target, s.service, s.endpoint, s.started_at, s.outcome, s.severity, s.duplicates, s.rules,
        CASE WHEN control.diverged IS NOT NULL THEN control.diverged AND s.outcome = 'match' END AS control_only
    FROM selected AS s
    LEFT JOIN control ON control.request_id = s.request_id AND control.started_at = s.started_at
    WHERE s.role = 'shadow';

CREATE MACRO endpoint_stats(since := NULL, until := NULL, synthetic := 'exclude') AS TABLE
    WITH counted AS (
        SELECT
            j.service, j.endpoint, j.target,
            count(*) FILTER (is_pair(j.outcome)) AS pairs,
            count(*) FILTER (j.outcome = 'match') AS "match",
            count(*) FILTER (j.outcome = 'noise') AS noise,
            count(*) FILTER (j.outcome = 'diff') AS diff,
            count(*) FILTER (j.outcome = 'live_error') AS live_error,
            count(*) FILTER (j.outcome = 'shadow_error') AS shadow_error,
            count(*) FILTER (j.outcome = 'shadow_missing') AS shadow_missing,
            count(*) FILTER (j.outcome = 'live_missing') AS live_missing,
            count(*) FILTER (j.outcome = 'incomparable') AS incomparable,
            count(*) FILTER (is_judged(j.outcome)) AS judged,
            count(*) FILTER (diverges(j.outcome)) AS diverged,
            count(*) FILTER (j.control_only) AS control_only,
            count(*) FILTER (is_judged(j.outcome) AND j.control_only IS NOT NULL) > 0 AS has_control,
            min(j.started_at) AS first_seen,
            max(j.started_at) AS last_seen
        FROM judged_comparisons(since, until, synthetic) AS j
        GROUP BY j.service, j.endpoint, j.target
    )
    SELECT
        n.service, n.endpoint, n.target, n.pairs,
        n."match", n.noise, n.diff, n.live_error, n.shadow_error, n.shadow_missing, n.live_missing, n.incomparable,
        net_rate(n.diverged, n.control_only, n.judged) AS divergence_rate,
        rate_lo(n.diverged, n.control_only, n.judged, n.has_control) AS rate_lo,
        rate_hi(n.diverged, n.control_only, n.judged, n.has_control) AS rate_hi,
        n.first_seen, n.last_seen
    FROM counted AS n;

CREATE MACRO field_stats(since := NULL, until := NULL, synthetic := 'exclude') AS TABLE
    WITH selected AS MATERIALIZED (SELECT * FROM selected_comparisons(since, until, synthetic)),
    -- One row for each request, pattern and kind.
    shown AS MATERIALIZED (
        SELECT
            c.service, c.endpoint, c.target, c.role, d.pattern, d.kind, d.request_id, d.started_at,
            bool_and(d.noise) AS noise, max(severity_rank(d.severity)) AS rank
        FROM differences AS d
        JOIN selected AS c ON c.request_id = d.request_id AND c.started_at = d.started_at
            AND c.target = d.target AND c.role = d.role
        GROUP BY ALL
    ),
    -- Patterns are bounded for each endpoint and target: the 1,000 most frequent keep their name.
    named AS MATERIALIZED (
        SELECT
            s.service, s.endpoint, s.target, s.pattern,
            CASE WHEN row_number() OVER (
                PARTITION BY s.service, s.endpoint, s.target ORDER BY count(*) DESC, s.pattern
            ) <= 1000 THEN s.pattern ELSE '(other)' END AS shown_as
        FROM shown AS s
        WHERE s.role = 'shadow'
        GROUP BY s.service, s.endpoint, s.target, s.pattern
    ),
    differing AS MATERIALIZED (
        SELECT
            s.service, s.endpoint, s.target, n.shown_as AS pattern, s.kind,
            max(s.rank) AS rank,
            CASE WHEN n.shown_as = '(other)' THEN count(DISTINCT s.request_id) FILTER (NOT s.noise)
                ELSE count(*) FILTER (NOT s.noise) END AS requests,
            CASE WHEN n.shown_as = '(other)' THEN count(DISTINCT s.request_id) FILTER (s.noise)
                ELSE count(*) FILTER (s.noise) END AS noise_requests,
            min(s.started_at) AS first_seen,
            max(s.started_at) AS last_seen,
            arg_min(
                {'request_id': s.request_id, 'started_at': s.started_at, 'pattern': s.pattern},
                {'noise': s.noise, 'started_at': s.started_at, 'request_id': s.request_id}, 5
            ) AS first
        FROM shown AS s
        JOIN named AS n ON n.service = s.service AND n.endpoint = s.endpoint
            AND n.target = s.target AND n.pattern = s.pattern
        WHERE s.role = 'shadow'
        GROUP BY s.service, s.endpoint, s.target, n.shown_as, s.kind
    ),
    control_differing AS (
        SELECT n.service, n.endpoint, n.target, n.shown_as AS pattern, s.kind, count(DISTINCT s.request_id) AS requests
        FROM shown AS s
        JOIN named AS n ON n.service = s.service AND n.endpoint = s.endpoint AND n.pattern = s.pattern
        WHERE s.role = 'control'
        GROUP BY n.service, n.endpoint, n.target, n.shown_as, s.kind
    ),
    -- The values that the first of these requests has there.
    example AS (
        SELECT
            d.service, d.endpoint, d.target, d.pattern, d.kind,
            arg_min({'live': x.live_value, 'shadow': x.shadow_value}, {'noise': x.noise, 'path': x.path}) AS value
        FROM differing AS d
        JOIN differences AS x ON x.request_id = d.first[1].request_id AND x.started_at = d.first[1].started_at
            AND x.target = d.target AND x.pattern = d.first[1].pattern AND x.kind = d.kind
        WHERE x.role = 'shadow'
        GROUP BY d.service, d.endpoint, d.target, d.pattern, d.kind
    ),
    totals AS (
        SELECT
            c.service, c.endpoint, c.role, CASE WHEN c.role = 'shadow' THEN c.target ELSE '' END AS target,
            count(*) FILTER (is_pair(c.outcome)) AS pairs,
            count(*) FILTER (is_pair(c.outcome) AND is_judged(c.outcome)) AS judged
        FROM selected AS c
        GROUP BY ALL
    )
    SELECT
        d.service, d.endpoint, d.target, d.pattern, d.kind,
        CASE d.rank WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS severity,
        t.pairs, d.requests, d.noise_requests,
        d.requests / greatest(t.judged, d.requests, 1) AS rate,
        rate_lo(d.requests, 0, greatest(t.judged, d.requests, 1), false) AS rate_lo,
        rate_hi(d.requests, 0, greatest(t.judged, d.requests, 1), false) AS rate_hi,
        coalesce(k.pairs, 0) AS control_pairs,
        coalesce(kd.requests, 0) AS control_requests,
        CASE WHEN k.judged > 0 THEN least(1.0, coalesce(kd.requests, 0) / k.judged) END AS control_rate,
        d.first_seen, d.last_seen,
        list_transform(d.first, lambda one: one.request_id) AS request_ids,
        e.value.live AS live_value, e.value.shadow AS shadow_value
    FROM differing AS d
    JOIN example AS e ON e.service = d.service AND e.endpoint = d.endpoint AND e.target = d.target
        AND e.pattern = d.pattern AND e.kind = d.kind
    JOIN totals AS t ON t.role = 'shadow' AND t.service = d.service AND t.endpoint = d.endpoint AND t.target = d.target
    LEFT JOIN totals AS k ON k.role = 'control' AND k.service = d.service AND k.endpoint = d.endpoint
    LEFT JOIN control_differing AS kd ON kd.service = d.service AND kd.endpoint = d.endpoint AND kd.target = d.target
        AND kd.pattern = d.pattern AND kd.kind = d.kind;

CREATE MACRO latency_stats(since := NULL, until := NULL, synthetic := 'exclude') AS TABLE
    WITH timed AS (
        SELECT
            c.service, c.endpoint, c.target, count(*) AS pairs,
            quantile_cont(c.live_ms, [0.5, 0.9, 0.99]) AS live,
            quantile_cont(c.shadow_ms, [0.5, 0.9, 0.99]) AS shadow,
            quantile_cont(c.delta_ms, [0.5, 0.9, 0.99]) AS delta
        FROM selected_comparisons(since, until, synthetic) AS c
        WHERE c.role = 'shadow' AND c.live_ms IS NOT NULL AND c.shadow_ms IS NOT NULL
        GROUP BY c.service, c.endpoint, c.target
    )
    SELECT
        t.service, t.endpoint, t.target, t.pairs,
        t.live[1] AS live_p50, t.live[2] AS live_p90, t.live[3] AS live_p99,
        t.shadow[1] AS shadow_p50, t.shadow[2] AS shadow_p90, t.shadow[3] AS shadow_p99,
        t.delta[1] AS delta_p50, t.delta[2] AS delta_p90, t.delta[3] AS delta_p99
    FROM timed AS t;

CREATE VIEW endpoint_stats AS SELECT * FROM endpoint_stats();
CREATE VIEW field_stats AS SELECT * FROM field_stats();
CREATE VIEW latency_stats AS SELECT * FROM latency_stats();
