-- Views and macros over the tables of schema.sql (or over views of the same names and columns).
--
-- endpoint_stats, field_stats and latency_stats are views over real traffic, and table macros of the same names
-- that take since (included), until (excluded) and synthetic ('include', 'exclude' or 'only'). rate_stats takes more.
-- Columns are always qualified: a bare name would be taken for the macro's parameter. All of it replaces what an older
-- program made.

-- A 95 % bound of the difference of two paired shares of n requests, at z = -1.96 (lower) or 1.96 (upper): only one side
-- shows it in `plus`, only the other in `minus` of them. Agresti and Min (2005), which adds half a request to each
-- discordant cell and two to n.
CREATE OR REPLACE MACRO difference_bound(plus, minus, n, z) AS
    CASE WHEN n > 0 THEN
        greatest(-1.0, least(1.0, ((plus - minus) + z * sqrt(plus + minus + 1 - (plus - minus) ** 2 / (n + 2))) / (n + 2)))
    END;

-- A 95 % bound of the share of n requests that diverged, at z = -1.96 (lower) or 1.96 (upper). Without a control:
-- Wilson (1927). With one: that of the difference of paired shares.
CREATE OR REPLACE MACRO rate_bound(diverged, control_only, n, has_control, z) AS
    CASE
        WHEN n = 0 THEN NULL
        WHEN has_control THEN greatest(0.0, least(1.0, difference_bound(diverged, control_only, n, z)))
        WHEN diverged = n AND z > 0 THEN 1.0  -- which rounding misses by a hair
        ELSE greatest(0.0, least(1.0,
            (diverged + z * z / 2 + z * sqrt(diverged * (n - diverged) / n + z * z / 4)) / (n + z * z)))
    END;

CREATE OR REPLACE MACRO rate_lo(diverged, control_only, n, has_control) AS
    rate_bound(diverged, control_only, n, has_control, -1.959963984540054);

CREATE OR REPLACE MACRO rate_hi(diverged, control_only, n, has_control) AS
    rate_bound(diverged, control_only, n, has_control, 1.959963984540054);

-- Of how many requests a divergence rate is: of the judged ones, and where a control answered any of an endpoint's, of
-- those that it answered: without its answer nobody can tell noise from the shadow's doing. The same of divergences.
CREATE OR REPLACE MACRO scored(judged, answered, answers) AS CASE WHEN answers > 0 THEN answered ELSE judged END;

-- The mean score of n requests, and no less than 0: `diverged` scored 1 and `control_only` -1 (judged_comparisons).
CREATE OR REPLACE MACRO net_rate(diverged, control_only, n) AS
    CASE WHEN n > 0 THEN greatest(diverged - control_only, 0) / n END;

-- How many patterns keep their name; a run sets it to what its settings say.
CREATE OR REPLACE MACRO pattern_bound() AS 1000;

CREATE OR REPLACE MACRO diverges(outcome) AS outcome IN ('diff', 'live_error', 'shadow_error', 'shadow_missing');

-- Whether two answers were there to be compared.
CREATE OR REPLACE MACRO is_pair(outcome) AS outcome NOT IN ('shadow_missing', 'live_missing');

-- Whether the comparison counts in the denominator of a divergence rate.
CREATE OR REPLACE MACRO is_judged(outcome) AS outcome NOT IN ('live_missing', 'incomparable');

-- Whether a side failed: there is no answer, or the server says that it could not give one.
CREATE OR REPLACE MACRO failed(status, error) AS error IS NOT NULL OR coalesce(status >= 500, false);

CREATE OR REPLACE MACRO severity_rank(severity) AS CASE severity WHEN 'high' THEN 3 WHEN 'medium' THEN 2 WHEN 'low' THEN 1 ELSE 0 END;

-- Whether a request carried all flags of a list of name=value, and asked to be served as of a moment (null: any).
CREATE OR REPLACE MACRO in_cohort(flags, as_of, wanted, moment) AS
    (len(wanted) = 0 OR list_has_all(list_transform(map_entries(flags), lambda e: e.key || '=' || e.value), wanted))
    AND (moment IS NULL OR coalesce(TRY_CAST(as_of AS TIMESTAMPTZ) = moment, false));

-- The places in a pattern's document from the root down to the pattern itself, as hashes: of the steps' hashes, so that a
-- long name is read once however deep it stands.
CREATE OR REPLACE MACRO steps_of(pattern) AS list_transform(string_split(pattern, '/'), lambda step: hash(step));
CREATE OR REPLACE MACRO places_on_the_way(steps) AS
    list_transform(range(1, len(steps) + 1), lambda depth: hash(steps[1:depth]));

-- The place below which nothing of an answer can be compared because of a difference, null where all can: what is not
-- there, or is of another type, cannot be seen to change, and an answer with another status is another answer altogether.
CREATE OR REPLACE MACRO hidden_below(pattern, kind, way) AS
    CASE WHEN pattern = '/status' THEN way[1] WHEN kind IN ('removed', 'type_changed') THEN way[len(way)] END;

-- What only one of a request's shadow and control shows, where both differ from live: all that is only the control's, and
-- where there is some of it what is only the shadow's. `covered`: the other side could not show it, for what it alone
-- shows above it (hidden_below). Requests and places meet by a 64-bit hash here and below: millions of text keys would not
-- fit in bounded memory. Patterns are read once for each place of the few requests where each side shows something alone.
CREATE OR REPLACE MACRO lone_differences(since := NULL, until := NULL) AS TABLE
    WITH control_shows AS MATERIALIZED (
        SELECT DISTINCT hash(d.request_id, d.started_at) AS request, hash(d.pattern, d.kind) AS place
        FROM differences AS d
        WHERE d.role = 'control' AND NOT d.noise
            AND is_within(d.started_at, since, until)
    ),
    shadow_shows AS MATERIALIZED (
        SELECT
            hash(d.request_id, d.started_at) AS request, d.target, hash(d.pattern, d.kind) AS place,
            bool_or(NOT d.noise) AS own
        FROM differences AS d
        SEMI JOIN control_shows AS k ON k.request = hash(d.request_id, d.started_at)
        WHERE d.role = 'shadow'
        GROUP BY ALL
    ),
    control_alone AS MATERIALIZED (
        SELECT k.request, b.target, k.place
        FROM (SELECT DISTINCT x.request, x.target FROM shadow_shows AS x) AS b
        JOIN control_shows AS k ON k.request = b.request
        ANTI JOIN shadow_shows AS x ON x.request = k.request AND x.target = b.target AND x.place = k.place
    ),
    shadow_alone AS MATERIALIZED (
        SELECT x.request, x.target, x.place
        FROM shadow_shows AS x
        SEMI JOIN control_alone AS a ON a.request = x.request AND a.target = x.target
        WHERE x.own
    ),
    places AS MATERIALIZED (
        SELECT
            n.place, places_on_the_way(steps_of(n.pattern)) AS way, hidden_below(n.pattern, n.kind, way) AS hidden
        FROM (
            SELECT hash(d.pattern, d.kind) AS place, any_value(d.pattern) AS pattern, any_value(d.kind) AS kind
            FROM differences AS d
            SEMI JOIN (
                SELECT x.place FROM shadow_alone AS x
                UNION
                SELECT a.place FROM control_alone AS a
                SEMI JOIN shadow_alone AS x ON x.request = a.request AND x.target = a.target
            ) AS w ON w.place = hash(d.pattern, d.kind)
            WHERE is_within(d.started_at, since, until)
            GROUP BY hash(d.pattern, d.kind)
        ) AS n
    ),
    -- Few hide a place: what stands on its way. What a place hides may be all there is, so none asks for that.
    hides AS MATERIALIZED (
        SELECT DISTINCT u.place, h.place AS hider
        FROM (SELECT p.place, unnest(p.way) AS above FROM places AS p) AS u
        JOIN places AS h ON h.hidden = u.above
    )
    SELECT a.request, a.target, 'control' AS role, a.place, c.place IS NOT NULL AS covered
    FROM control_alone AS a
    LEFT JOIN (
        SELECT DISTINCT k.request, k.target, k.place
        FROM control_alone AS k
        JOIN hides AS h ON h.place = k.place
        SEMI JOIN shadow_alone AS x ON x.request = k.request AND x.target = k.target AND x.place = h.hider
    ) AS c ON c.request = a.request AND c.target = a.target AND c.place = a.place
    UNION ALL
    SELECT x.request, x.target, 'shadow' AS role, x.place, c.place IS NOT NULL AS covered
    FROM shadow_alone AS x
    LEFT JOIN (
        SELECT DISTINCT s.request, s.target, s.place
        FROM shadow_alone AS s
        JOIN hides AS h ON h.place = s.place
        SEMI JOIN control_alone AS a ON a.request = s.request AND a.target = s.target AND a.place = h.hider
    ) AS c ON c.request = x.request AND c.target = x.target AND c.place = x.place;

-- Comparisons of role shadow, each with what is known of the same request's control: whether it answered, whether it
-- shows a difference, and whether it had an answer where live had none.
CREATE OR REPLACE MACRO answered_comparisons(since := NULL, until := NULL, synthetic := 'exclude') AS TABLE
    WITH control AS (
        SELECT hash(k.request_id, k.started_at) AS request, bool_or(k.outcome = 'diff') AS diverged,
            bool_or(k.outcome = 'live_error') AS live_failed
        FROM comparisons AS k
        WHERE k.role = 'control' AND k.outcome IN ('match', 'noise', 'diff', 'live_error')
            AND is_within(k.started_at, since, until)
        GROUP BY ALL
    )
    SELECT
        s.request_id, s.target, s.service, s.endpoint, s.started_at, s.outcome, s.severity, s.duplicates, s.rules,
        s.live_status, s.shadow_status, s.live_error, s.shadow_error, s.flags, s.as_of, s.attribution,
        c.request IS NOT NULL AS answered, coalesce(c.diverged, false) AS control_diverged,
        coalesce(c.live_failed, false) AS live_failed
    FROM selected_comparisons(since, until, synthetic) AS s
    LEFT JOIN control AS c ON c.request = hash(s.request_id, s.started_at)
    WHERE s.role = 'shadow';

-- The same with their scores: 1 where the shadow shows what the control does not and could have shown, -1 the other way
-- round, 0 where neither or both do; null where nothing is judged. Without the control's answer all that the shadow shows
-- is the shadow's. Two of a kind score 0 on average: to exchange them turns the sign. A shadow without an answer is a
-- divergence whatever the control shows; where live had none, to have one is the one thing that can be shown alone.
CREATE OR REPLACE MACRO judged_comparisons(since := NULL, until := NULL, synthetic := 'exclude') AS TABLE
    WITH alone AS (
        SELECT
            l.request, l.target, coalesce(bool_or(NOT l.covered) FILTER (l.role = 'shadow'), true) AS shadow,
            bool_or(NOT l.covered) FILTER (l.role = 'control') AS control
        FROM lone_differences(since, until) AS l
        GROUP BY l.request, l.target
    ),
    sided AS (
        SELECT
            s.*,
            CASE s.outcome
                WHEN 'live_error' THEN NOT s.live_failed
                WHEN 'diff' THEN NOT s.live_failed AND coalesce(a.shadow, true)
                ELSE diverges(s.outcome)
            END AS by_shadow,
            CASE
                WHEN s.outcome NOT IN ('match', 'noise', 'diff') THEN false
                WHEN s.live_failed THEN true
                ELSE s.control_diverged AND (s.outcome = 'match' OR coalesce(a.control, false))
            END AS by_control
        FROM answered_comparisons(since, until, synthetic) AS s
        LEFT JOIN alone AS a ON a.request = hash(s.request_id, s.started_at) AND a.target = s.target
    )
    SELECT
        j.* EXCLUDE (control_diverged, live_failed, by_shadow, by_control),
        CASE WHEN is_judged(j.outcome) THEN CAST(j.by_shadow AS TINYINT) - CAST(j.by_control AS TINYINT) END AS score
    FROM sided AS j;

CREATE OR REPLACE MACRO endpoint_stats(since := NULL, until := NULL, synthetic := 'exclude') AS TABLE
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
            count(*) FILTER (j.score = 1) AS diverged,
            count(*) FILTER (j.score = -1) AS control_only,
            count(*) FILTER (is_judged(j.outcome) AND j.answered) AS answered,
            count(*) FILTER (j.score = 1 AND j.answered) AS answered_diverged,
            min(j.started_at) AS first_seen,
            max(j.started_at) AS last_seen
        FROM judged_comparisons(since, until, synthetic) AS j
        GROUP BY j.service, j.endpoint, j.target
    )
    SELECT
        n.service, n.endpoint, n.target, n.pairs,
        n."match", n.noise, n.diff, n.live_error, n.shadow_error, n.shadow_missing, n.live_missing, n.incomparable,
        net_rate(n.scored_diverged, n.control_only, n.scored) AS divergence_rate,
        rate_lo(n.scored_diverged, n.control_only, n.scored, n.answered > 0) AS rate_lo,
        rate_hi(n.scored_diverged, n.control_only, n.scored, n.answered > 0) AS rate_hi,
        n.first_seen, n.last_seen
    FROM (
        SELECT
            c.*, scored(c.judged, c.answered, c.answered) AS scored,
            scored(c.diverged, c.answered_diverged, c.answered) AS scored_diverged
        FROM counted AS c
    ) AS n;

-- Divergence, errors and missing shadows by endpoint and target; where asked for also by the value of one flag, by the
-- moment that requests were to be served as of, and by windows of time (`every`, an interval).
CREATE OR REPLACE MACRO rate_stats(
    since := NULL, until := NULL, synthetic := 'exclude', flag := NULL, by_as_of := false, every := NULL
) AS TABLE
    WITH counted AS (
        SELECT
            j.service, j.endpoint, j.target,
            CASE WHEN flag IS NOT NULL THEN j.flags[flag] END AS flag_value,
            CASE WHEN by_as_of THEN j.as_of END AS as_of,
            CASE WHEN every IS NOT NULL THEN time_bucket(CAST(every AS INTERVAL), j.started_at) END AS window_start,
            count(*) FILTER (is_pair(j.outcome)) AS pairs,
            count(*) FILTER (is_judged(j.outcome)) AS judged,
            count(*) FILTER (j.score = 1) AS diverged,
            count(*) FILTER (j.score = -1) AS control_only,
            count(*) FILTER (is_judged(j.outcome) AND j.answered) AS answered,
            count(*) FILTER (j.score = 1 AND j.answered) AS answered_diverged,
            count(*) FILTER (
                is_pair(j.outcome) AND failed(j.shadow_status, j.shadow_error) AND NOT failed(j.live_status, j.live_error)
            ) AS shadow_failed,
            count(*) FILTER (
                is_pair(j.outcome) AND failed(j.live_status, j.live_error) AND NOT failed(j.shadow_status, j.shadow_error)
            ) AS live_failed,
            count(*) FILTER (j.outcome = 'shadow_missing') AS missing,
            count(*) FILTER (j.outcome = 'shadow_missing' OR is_pair(j.outcome)) AS sent,
            min(j.started_at) AS first_seen, max(j.started_at) AS last_seen
        FROM judged_comparisons(since, until, synthetic) AS j
        GROUP BY ALL
    )
    SELECT
        n.service, n.endpoint, n.target, n.flag_value, n.as_of, n.window_start, n.pairs,
        net_rate(n.scored_diverged, n.control_only, n.scored) AS divergence_rate,
        rate_lo(n.scored_diverged, n.control_only, n.scored, n.answered > 0) AS rate_lo,
        rate_hi(n.scored_diverged, n.control_only, n.scored, n.answered > 0) AS rate_hi,
        CASE WHEN n.pairs > 0 THEN (n.shadow_failed - n.live_failed) / n.pairs END AS error_increase,
        difference_bound(n.shadow_failed, n.live_failed, n.pairs, -1.959963984540054) AS error_lo,
        difference_bound(n.shadow_failed, n.live_failed, n.pairs, 1.959963984540054) AS error_hi,
        CASE WHEN n.sent > 0 THEN n.missing / n.sent END AS missing_rate,
        rate_lo(n.missing, 0, n.sent, false) AS missing_lo,
        rate_hi(n.missing, 0, n.sent, false) AS missing_hi,
        n.first_seen, n.last_seen
    FROM (
        SELECT
            c.*, scored(c.judged, c.answered, c.answered) AS scored,
            scored(c.diverged, c.answered_diverged, c.answered) AS scored_diverged
        FROM counted AS c
    ) AS n;

-- Differences of a time range under the names in force; `field` and `request` are hashes of what they name.
CREATE OR REPLACE MACRO selected_differences(since := NULL, until := NULL, synthetic := 'exclude') AS TABLE
    WITH tagged AS (
        SELECT DISTINCT hash(c.request_id, c.started_at, c.target, c.role) AS comparison
        FROM comparisons AS c
        WHERE c.synthetic IS NOT NULL
    )
    SELECT
        d.service, coalesce(n.name, d.endpoint) AS endpoint, d.target, d.role, d.pattern, d.kind, d.path,
        d.request_id, d.started_at, d.noise, d.severity, d.live_value, d.shadow_value,
        hash(d.service, coalesce(n.name, d.endpoint), d.target, d.role, d.pattern, d.kind) AS field,
        hash(d.request_id, d.started_at) AS request
    FROM differences AS d
    LEFT JOIN names_in_force(since, until, synthetic) AS n ON n.service = d.service AND n.endpoint = d.endpoint
    LEFT JOIN tagged AS g ON g.comparison = hash(d.request_id, d.started_at, d.target, d.role)
    WHERE is_within(d.started_at, since, until) AND is_chosen(g.comparison IS NOT NULL, synthetic);

CREATE OR REPLACE MACRO field_stats(since := NULL, until := NULL, synthetic := 'exclude') AS TABLE
    WITH fields AS MATERIALIZED (
        SELECT
            d.field, any_value(d.service) AS service, any_value(d.endpoint) AS endpoint, any_value(d.target) AS target,
            any_value(d.role) AS role, any_value(d.pattern) AS pattern, any_value(d.kind) AS kind,
            max(severity_rank(d.severity)) AS rank, min(d.started_at) AS first_seen, max(d.started_at) AS last_seen
        FROM selected_differences(since, until, synthetic) AS d
        GROUP BY d.field
    ),
    -- One row for each request at each field, however often it differs there.
    shown AS MATERIALIZED (
        SELECT d.field, d.request, bool_and(d.noise) AS noise, min(d.started_at) AS started_at
        FROM selected_differences(since, until, synthetic) AS d
        GROUP BY d.field, d.request
    ),
    counted AS MATERIALIZED (
        SELECT
            s.field, count(*) FILTER (NOT s.noise) AS requests, count(*) FILTER (s.noise) AS noise_requests,
            arg_min(s.request, {'noise': s.noise, 'started_at': s.started_at, 'request': s.request}, 5) AS first
        FROM shown AS s
        GROUP BY s.field
    ),
    -- Patterns are bounded for each endpoint and target: the most frequent keep their name.
    named AS MATERIALIZED (
        SELECT
            f.service, f.endpoint, f.target, f.pattern,
            CASE WHEN row_number() OVER (
                PARTITION BY f.service, f.endpoint, f.target
                ORDER BY sum(c.requests + c.noise_requests) DESC, f.pattern
            ) <= pattern_bound() THEN f.pattern ELSE '(other)' END AS shown_as
        FROM fields AS f
        JOIN counted AS c ON c.field = f.field
        WHERE f.role = 'shadow'
        GROUP BY f.service, f.endpoint, f.target, f.pattern
    ),
    -- Requests that differ at several of the other patterns count once.
    other AS (
        SELECT
            f.service, f.endpoint, f.target, f.kind,
            count(DISTINCT s.request) FILTER (NOT s.noise) AS requests,
            count(DISTINCT s.request) FILTER (s.noise) AS noise_requests
        FROM shown AS s
        JOIN fields AS f ON f.field = s.field
        JOIN named AS n ON n.service = f.service AND n.endpoint = f.endpoint AND n.target = f.target
            AND n.pattern = f.pattern
        WHERE f.role = 'shadow' AND n.shown_as = '(other)'
        GROUP BY f.service, f.endpoint, f.target, f.kind
    ),
    differing AS MATERIALIZED (
        SELECT
            f.service, f.endpoint, f.target, n.shown_as AS pattern, f.kind,
            max(f.rank) AS rank, sum(c.requests)::BIGINT AS requests, sum(c.noise_requests)::BIGINT AS noise_requests,
            min(f.first_seen) AS first_seen, max(f.last_seen) AS last_seen,
            arg_min(
                {'field': f.field, 'requests': c.first},
                {'only_noise': c.requests = 0, 'first_seen': f.first_seen, 'pattern': f.pattern}
            ) AS first
        FROM fields AS f
        JOIN counted AS c ON c.field = f.field
        JOIN named AS n ON n.service = f.service AND n.endpoint = f.endpoint AND n.target = f.target
            AND n.pattern = f.pattern
        WHERE f.role = 'shadow'
        GROUP BY f.service, f.endpoint, f.target, n.shown_as, f.kind
    ),
    control_differing AS (
        SELECT
            n.service, n.endpoint, n.target, n.shown_as AS pattern, f.kind,
            sum(c.requests + c.noise_requests)::BIGINT AS requests
        FROM fields AS f
        JOIN counted AS c ON c.field = f.field
        JOIN named AS n ON n.service = f.service AND n.endpoint = f.endpoint AND n.pattern = f.pattern
        WHERE f.role = 'control'
        GROUP BY n.service, n.endpoint, n.target, n.shown_as, f.kind
    ),
    -- The first of these requests by name, and the values that the very first has there.
    wanted AS (
        SELECT
            d.first.field AS field, unnest(d.first.requests) AS request,
            generate_subscripts(d.first.requests, 1) AS place
        FROM differing AS d
    ),
    found AS (
        SELECT
            w.field, w.place, any_value(x.request_id) AS request_id,
            arg_min({'live': x.live_value, 'shadow': x.shadow_value}, {'noise': x.noise, 'path': x.path}) AS value
        FROM selected_differences(since, until, synthetic) AS x
        JOIN wanted AS w ON w.request = x.request AND w.field = x.field
        GROUP BY w.field, w.place
    ),
    example AS (
        SELECT
            e.field, list(e.request_id ORDER BY e.place) AS request_ids, any_value(e.value) FILTER (e.place = 1) AS value
        FROM found AS e
        GROUP BY e.field
    ),
    totals AS (
        SELECT
            c.service, c.endpoint, c.role, CASE WHEN c.role = 'shadow' THEN c.target ELSE '' END AS target,
            count(*) FILTER (is_pair(c.outcome)) AS pairs,
            count(*) FILTER (is_pair(c.outcome) AND is_judged(c.outcome)) AS judged
        FROM selected_comparisons(since, until, synthetic) AS c
        GROUP BY ALL
    ),
    joined AS (
        SELECT
            d.service, d.endpoint, d.target, d.pattern, d.kind, d.rank, d.first_seen, d.last_seen,
            coalesce(o.requests, d.requests) AS requests, coalesce(o.noise_requests, d.noise_requests) AS noise_requests,
            t.pairs, greatest(t.judged, coalesce(o.requests, d.requests), 1) AS judged,
            coalesce(k.pairs, 0) AS control_pairs, coalesce(k.judged, 0) AS control_judged,
            least(coalesce(kd.requests, 0), coalesce(k.pairs, 0)) AS control_requests, e.request_ids, e.value
        FROM differing AS d
        JOIN totals AS t ON t.role = 'shadow' AND t.service = d.service AND t.endpoint = d.endpoint
            AND t.target = d.target
        JOIN example AS e ON e.field = d.first.field
        LEFT JOIN other AS o ON d.pattern = '(other)' AND o.service = d.service AND o.endpoint = d.endpoint
            AND o.target = d.target AND o.kind = d.kind
        LEFT JOIN totals AS k ON k.role = 'control' AND k.service = d.service AND k.endpoint = d.endpoint
        LEFT JOIN control_differing AS kd ON kd.service = d.service AND kd.endpoint = d.endpoint
            AND kd.target = d.target AND kd.pattern = d.pattern AND kd.kind = d.kind
    )
    SELECT
        j.service, j.endpoint, j.target, j.pattern, j.kind,
        CASE j.rank WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS severity,
        j.pairs, j.requests, j.noise_requests,
        j.requests / j.judged AS rate,
        rate_lo(j.requests, 0, j.judged, false) AS rate_lo,
        rate_hi(j.requests, 0, j.judged, false) AS rate_hi,
        j.control_pairs, j.control_requests,
        CASE WHEN j.control_judged > 0 THEN least(1.0, j.control_requests / j.control_judged) END AS control_rate,
        j.first_seen, j.last_seen, j.request_ids, j.value.live AS live_value, j.value.shadow AS shadow_value
    FROM joined AS j;

CREATE OR REPLACE MACRO latency_stats(since := NULL, until := NULL, synthetic := 'exclude') AS TABLE
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

-- Real traffic alone, row by row; `comparisons` and `differences` have all.
CREATE OR REPLACE VIEW comparisons_real AS SELECT c.* FROM comparisons AS c WHERE c.synthetic IS NULL;
CREATE OR REPLACE VIEW differences_real AS
    SELECT d.*
    FROM differences AS d
    ANTI JOIN (SELECT c.request_id, c.started_at, c.target, c.role FROM comparisons AS c WHERE c.synthetic IS NOT NULL) AS g
        ON g.request_id = d.request_id AND g.started_at = d.started_at AND g.target = d.target AND g.role = d.role;
CREATE OR REPLACE VIEW endpoint_stats AS SELECT * FROM endpoint_stats();
CREATE OR REPLACE VIEW field_stats AS SELECT * FROM field_stats();
CREATE OR REPLACE VIEW latency_stats AS SELECT * FROM latency_stats();
