-- A question to each table, view and macro of docs/tables.md, and the SQL that answers it.

-- table comparisons: How many requests had which outcome?
SELECT outcome, count(*) AS requests FROM comparisons
WHERE role = 'shadow' AND synthetic IS NULL GROUP BY ALL ORDER BY requests DESC;

-- table differences: Where do the answers to one request differ?
SELECT target, path, kind, live_value, shadow_value FROM differences
WHERE request_id = 'r-1' AND role = 'shadow' AND NOT noise ORDER BY path;

-- table exchanges: What were the answers?
SELECT role, target, record FROM exchanges WHERE request_id = 'r-1';

-- table rejects: Why were records refused?
SELECT reason, count(*) AS records FROM rejects GROUP BY ALL ORDER BY records DESC;

-- table populations: How many of live's answers failed, by build?
SELECT target, sum(responses) FILTER (measure = 'requests') AS requests,
    coalesce(sum(responses) FILTER (measure = 'failed'), 0) AS failed
FROM populations GROUP BY target ORDER BY target;

-- table alerts: What fired last?
SELECT "at", state, severity, name, service, target, value FROM alerts ORDER BY "at" DESC LIMIT 10;

-- table rule_versions: Which rules judged how many requests?
SELECT v.first_used, v.version, count(*) AS requests
FROM rule_versions AS v JOIN comparisons AS c ON c.rules = v.version
WHERE c.role = 'shadow' AND c.synthetic IS NULL GROUP BY ALL ORDER BY v.first_used;

-- table runs: What landed when?
SELECT finished_at, command, sources, new, unchanged, replaced FROM runs ORDER BY finished_at DESC;

-- table routed: How many events went where?
SELECT topic, destination, sum(events) AS events FROM routed GROUP BY ALL ORDER BY ALL;

-- table learned_endpoints: Which names does the highest version put together?
SELECT service, template, count(*) AS names FROM learned_names() GROUP BY ALL ORDER BY names DESC;

-- table store_version: Which version is it?
SELECT max(version) AS version FROM store_version;

-- view comparisons_real: How many requests an hour were compared?
SELECT date_trunc('hour', started_at) AS hour, count(*) AS requests FROM comparisons_real
WHERE role = 'shadow' GROUP BY ALL ORDER BY hour;

-- view differences_real: Where do most requests differ?
SELECT endpoint, pattern, kind, count(DISTINCT request_id) AS requests FROM differences_real
WHERE role = 'shadow' AND NOT noise GROUP BY ALL ORDER BY requests DESC LIMIT 10;

-- view endpoint_stats: Which endpoints diverge?
SELECT endpoint, target, pairs, divergence_rate, rate_lo FROM endpoint_stats
WHERE rate_lo > 0 ORDER BY rate_lo DESC LIMIT 10;

-- view field_stats: Which fields diverge, and which pairs show it?
SELECT endpoint, pattern, kind, requests, rate_lo, request_ids FROM field_stats
WHERE requests > 0 ORDER BY rate_lo DESC LIMIT 10;

-- view latency_stats: Which endpoints became slower?
SELECT endpoint, target, pairs, live_p50, shadow_p50, delta_p50 FROM latency_stats
ORDER BY delta_p50 DESC LIMIT 10;

-- macro endpoint_stats: Which endpoints diverge since the deployment?
SELECT endpoint, target, pairs, divergence_rate FROM endpoint_stats(since := '2027-07-12T08:00:00Z')
ORDER BY divergence_rate DESC LIMIT 10;

-- macro field_stats: Which fields differ under the load test?
SELECT endpoint, pattern, kind, requests FROM field_stats(synthetic := 'only')
WHERE requests > 0 ORDER BY requests DESC LIMIT 10;

-- macro latency_stats: How slow was the last hour?
SELECT endpoint, target, pairs, delta_p50, delta_p99
FROM latency_stats(since := now() - INTERVAL 1 HOUR) ORDER BY delta_p99 DESC LIMIT 10;

-- macro learned_names: Which templates are in force?
FROM learned_names() ORDER BY ALL;

-- macro rate_stats: Does it diverge with one arm of an experiment only, hour by hour?
SELECT window_start, flag_value, sum(pairs) AS pairs, max(divergence_rate) AS worst
FROM rate_stats(flag := 'new-cart', every := '1 hour') GROUP BY ALL ORDER BY ALL;
