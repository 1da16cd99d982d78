-- What tables, views, macros and columns mean: DuckDB shows it to who asks (duckdb_tables(), duckdb_columns() ...), and
-- docs/tables.md is made of it. White space counts as one space.

COMMENT ON TABLE comparisons IS 'Live against one other side of one request: a row for each shadow, and one for the
    control. Count shadows with role = ''shadow'', real traffic with synthetic IS NULL.';
COMMENT ON COLUMN comparisons.request_id IS 'What joins the sides of one request';
COMMENT ON COLUMN comparisons.target IS 'Which build live is compared with, such as cart@2.4.0-rc1';
COMMENT ON COLUMN comparisons.role IS 'What that build is: shadow, the candidate; or control, a second instance of live,
    of which every difference is noise';
COMMENT ON COLUMN comparisons.service IS 'The service';
COMMENT ON COLUMN comparisons.endpoint IS 'Method and path without what varies, as it was named when it landed; the
    statistics use the templates of learned_endpoints instead where there are some';
COMMENT ON COLUMN comparisons.method IS 'Method of the request';
COMMENT ON COLUMN comparisons.path IS 'Path of the request with its query, secrets replaced';
COMMENT ON COLUMN comparisons.started_at IS 'When live saw the request; differences and exchanges of it have the same time';
COMMENT ON COLUMN comparisons.live_target IS 'Which build answered as live';
COMMENT ON COLUMN comparisons.live_status IS 'Status of live''s response, null without one';
COMMENT ON COLUMN comparisons.shadow_status IS 'Status of the other side''s response; the control''s where role is control';
COMMENT ON COLUMN comparisons.live_error IS 'Why live gave no response: timeout, connect, reset, protocol or overload';
COMMENT ON COLUMN comparisons.shadow_error IS 'The same of the other side; of the control where role is control';
COMMENT ON COLUMN comparisons.live_ms IS 'Milliseconds to the last byte of live''s response';
COMMENT ON COLUMN comparisons.shadow_ms IS 'The same of the other side; of the control where role is control';
COMMENT ON COLUMN comparisons.delta_ms IS 'shadow_ms less live_ms, null where one of them is unknown';
COMMENT ON COLUMN comparisons.outcome IS 'match; noise (differs as live itself does); diff; live_error, shadow_error (a
    transport error of one side only); shadow_missing, live_missing; or incomparable (a body could not be compared). diff,
    the errors and shadow_missing are divergences';
COMMENT ON COLUMN comparisons.differences IS 'How many places differ, noise included; as many rows of differences, up to
    limits.differences';
COMMENT ON COLUMN comparisons.noise_differences IS 'How many of them are noise';
COMMENT ON COLUMN comparisons.severity IS 'The highest of what differs and is no noise: high (status, another type,
    removed from the body, errors), medium (another value), low (added, moved, headers); null: nothing';
COMMENT ON COLUMN comparisons.late IS 'Whether a side came after its window had closed, but within join.lateness';
COMMENT ON COLUMN comparisons.duplicates IS 'How many more records of these two sides there were; the first one counts';
COMMENT ON COLUMN comparisons.synthetic IS 'Why this is no real traffic (a load test, a probe); null: it is real';
COMMENT ON COLUMN comparisons.flags IS 'Feature flags and experiment arms of the request: flags[''new-cart'']';
COMMENT ON COLUMN comparisons.as_of IS 'The moment that the request asked to be served as of, RFC 3339; null: now';
COMMENT ON COLUMN comparisons.rules IS 'Which rules judged it: a version of rule_versions';
COMMENT ON COLUMN comparisons.run IS 'Which run of compare landed it: one of runs; null where a worker did';
COMMENT ON COLUMN comparisons.topic IS 'Kafka topic of its records, null for captures; so are the next three';
COMMENT ON COLUMN comparisons.partition IS 'Kafka partition of its records';
COMMENT ON COLUMN comparisons.live_offset IS 'Offset of live''s record';
COMMENT ON COLUMN comparisons.shadow_offset IS 'Offset of the other side''s record';
COMMENT ON COLUMN comparisons.landed_at IS 'When its batch was committed';

COMMENT ON TABLE differences IS 'One place where live and another side of a request differ, the control''s and noise
    included: what the shadow does otherwise has role = ''shadow'' AND NOT noise. What a rule ignores is no row.';
COMMENT ON COLUMN differences.request_id IS 'That of the comparison; so are the next five';
COMMENT ON COLUMN differences.target IS 'Which build live is compared with';
COMMENT ON COLUMN differences.role IS 'What that build is: shadow or control';
COMMENT ON COLUMN differences.service IS 'The service';
COMMENT ON COLUMN differences.endpoint IS 'The endpoint';
COMMENT ON COLUMN differences.started_at IS 'When live saw the request';
COMMENT ON COLUMN differences.path IS 'JSON Pointer to the place in live''s document of status, headers, trailers and body:
    /body/items/3/price';
COMMENT ON COLUMN differences.shadow_path IS 'The same place in the other side''s document; null where it is not there';
COMMENT ON COLUMN differences.pattern IS 'path with positions in arrays and keys of maps as *: /body/items/*/price';
COMMENT ON COLUMN differences.kind IS 'added, removed, changed, type_changed or moved';
COMMENT ON COLUMN differences.severity IS 'high, medium or low, by place and kind; noise has one too';
COMMENT ON COLUMN differences.live_value IS 'What live has there, as JSON text; null: nothing';
COMMENT ON COLUMN differences.shadow_value IS 'What the other side has there, as JSON text; the control''s where role is
    control; null: nothing';
COMMENT ON COLUMN differences.noise IS 'Whether it does not count: the same request''s control differs there too, or a rule
    says so. In rows of the control itself only rules can say so';
COMMENT ON COLUMN differences.reason IS 'Why it is noise, or the reason that a rule gives; null: neither';

COMMENT ON TABLE exchanges IS 'The records behind diverging comparisons, secrets replaced: of the first limits.evidence
    requests of each endpoint, target, pattern and kind, and of slow ones. Of a request without rows here none was kept.';
COMMENT ON COLUMN exchanges.request_id IS 'What joins the sides of one request';
COMMENT ON COLUMN exchanges.role IS 'Who answered: live, shadow or control';
COMMENT ON COLUMN exchanges.target IS 'Which build answered';
COMMENT ON COLUMN exchanges.service IS 'The service';
COMMENT ON COLUMN exchanges.endpoint IS 'The endpoint';
COMMENT ON COLUMN exchanges.started_at IS 'That of the comparison, so that the tables join on it; the record has its own
    started_us';
COMMENT ON COLUMN exchanges.record IS 'Request and response, as JSON text: schemas/exchange.json';

COMMENT ON TABLE rejects IS 'Records that could not be read, were too late, or broke the shape of schemas/exchange.json.';
COMMENT ON COLUMN rejects.source IS 'Where the record was: a file or a topic';
COMMENT ON COLUMN rejects.line IS 'Its line in a file, from 1';
COMMENT ON COLUMN rejects.partition IS 'Its partition of a topic';
COMMENT ON COLUMN rejects.offset IS 'Its offset there';
COMMENT ON COLUMN rejects.reason IS 'What is wrong with it, in a sentence';
COMMENT ON COLUMN rejects.excerpt IS 'Its first 4 KiB, secrets replaced, in base64';
COMMENT ON COLUMN rejects.landed_at IS 'When its batch was committed';

COMMENT ON TABLE populations IS 'How many of live''s answers are alike in something, for verdicts on canaries without
    pairs (docs/statistics.md). Synthetic traffic is left out; rows add up.';
COMMENT ON COLUMN populations.service IS 'The service';
COMMENT ON COLUMN populations.endpoint IS 'The endpoint';
COMMENT ON COLUMN populations.target IS 'Which build answered as live';
COMMENT ON COLUMN populations.minute IS 'In which minute the requests started';
COMMENT ON COLUMN populations.measure IS 'In what they are alike: requests (all of them), failed, latency, shaped (a JSON
    body that was looked into), and of those type and value';
COMMENT ON COLUMN populations.field IS 'For type and value the pattern of the field, else empty';
COMMENT ON COLUMN populations.value IS 'For latency a bucket n, up to 1.02^n ms; for type the JSON type, for value the word
    that is there';
COMMENT ON COLUMN populations.responses IS 'How many';
COMMENT ON COLUMN populations.run IS 'Which run of compare counted them; null where a worker did';

COMMENT ON TABLE alerts IS 'Changes of state of the alerts of gnomon watch (docs/alerts.md).';
COMMENT ON COLUMN alerts.name IS 'Name of the rule';
COMMENT ON COLUMN alerts.key IS 'The same for all changes of the rule at one service, endpoint and target';
COMMENT ON COLUMN alerts.state IS 'firing or resolved';
COMMENT ON COLUMN alerts.severity IS 'critical, warning or info, as the rule says';
COMMENT ON COLUMN alerts.service IS 'The service, empty where the metric knows none';
COMMENT ON COLUMN alerts.endpoint IS 'The endpoint, empty: all of the service';
COMMENT ON COLUMN alerts.target IS 'Which build';
COMMENT ON COLUMN alerts.metric IS 'What the rule looks at';
COMMENT ON COLUMN alerts.value IS 'What it was';
COMMENT ON COLUMN alerts.threshold IS 'What the rule allows';
COMMENT ON COLUMN alerts.interval_lo IS 'Lower end of the interval of the value';
COMMENT ON COLUMN alerts.interval_hi IS 'Upper end';
COMMENT ON COLUMN alerts.since IS 'Since when it is in that state; what tells two firings apart';
COMMENT ON COLUMN alerts.at IS 'When it was seen';
COMMENT ON COLUMN alerts.summary IS 'All of it in a sentence';
COMMENT ON COLUMN alerts.patterns IS 'Fields that differ most';
COMMENT ON COLUMN alerts.request_ids IS 'Requests that show it';
COMMENT ON COLUMN alerts.link IS 'Where gnomon web shows it';

COMMENT ON TABLE rule_versions IS 'The rules behind the version that every comparison has.';
COMMENT ON COLUMN rule_versions.version IS 'Hash of the rules: comparisons.rules';
COMMENT ON COLUMN rule_versions.rules IS 'Their text, as rules.toml';
COMMENT ON COLUMN rule_versions.first_used IS 'When they first judged something';

COMMENT ON TABLE runs IS 'What gnomon compare and gnomon rejudge landed, a row each time.';
COMMENT ON COLUMN runs.run IS 'What comparisons.run says';
COMMENT ON COLUMN runs.started_at IS 'When it began';
COMMENT ON COLUMN runs.finished_at IS 'When it was landed';
COMMENT ON COLUMN runs.command IS 'compare or rejudge';
COMMENT ON COLUMN runs.sources IS 'What it read';
COMMENT ON COLUMN runs.rules IS 'Version of its rules';
COMMENT ON COLUMN runs.records IS 'How many records it read';
COMMENT ON COLUMN runs.rejects IS 'How many of them it refused';
COMMENT ON COLUMN runs.comparisons IS 'How many comparisons it made, of shadows and of the control';
COMMENT ON COLUMN runs.pairs IS 'How many of shadows had two answers to compare';
COMMENT ON COLUMN runs.divergences IS 'How many of shadows diverged';
COMMENT ON COLUMN runs.new IS 'How many comparisons were new to the database';
COMMENT ON COLUMN runs.unchanged IS 'How many were there already, and the same';
COMMENT ON COLUMN runs.replaced IS 'How many took the place of another answer under the same id';

COMMENT ON TABLE routed IS 'What the synthetic filter sent where (gnomon route, docs/synthetic.md), by minute.';
COMMENT ON COLUMN routed.minute IS 'When it was sent';
COMMENT ON COLUMN routed.topic IS 'The topic it was read from';
COMMENT ON COLUMN routed.partition IS 'And the partition';
COMMENT ON COLUMN routed.rule IS 'Why it is synthetic or unreadable; empty for clean events';
COMMENT ON COLUMN routed.destination IS 'clean, synthetic, both (tombstones), quarantine; correction (its tag came too
    late), unknown (sent, but not counted), leak (found on a clean topic)';
COMMENT ON COLUMN routed.events IS 'How many events';
COMMENT ON COLUMN routed.first_offset IS 'Offset of the first of them';
COMMENT ON COLUMN routed.last_offset IS 'Offset of the last of them';
COMMENT ON COLUMN routed.samples IS 'Some of their places: orders[3]@42 is partition 3, offset 42';

COMMENT ON TABLE learned_endpoints IS 'Templates learned from how many names an endpoint has: statistics use them for all
    history. The highest version is in force, and each is a full set; the macro learned_names() gives it.';
COMMENT ON COLUMN learned_endpoints.version IS 'Number of the set';
COMMENT ON COLUMN learned_endpoints.service IS 'The service';
COMMENT ON COLUMN learned_endpoints.endpoint IS 'The name that landed';
COMMENT ON COLUMN learned_endpoints.template IS 'What statistics call it';

COMMENT ON TABLE store_version IS 'Which version of these tables the file has; programs refuse one that they do not know.';
COMMENT ON COLUMN store_version.version IS 'Number of the version';
COMMENT ON COLUMN store_version.created_at IS 'When the file was made';

COMMENT ON VIEW comparisons_real IS 'comparisons without synthetic traffic. Rows of the control are in it: count shadows with
    role = ''shadow''.';
COMMENT ON VIEW differences_real IS 'differences without synthetic traffic. Rows of the control and noise are in it: what the
    shadow does otherwise has role = ''shadow'' AND NOT noise.';

COMMENT ON VIEW endpoint_stats IS 'Outcomes and the divergence rate of each endpoint and target, over real traffic and net of
    the control. With parentheses it is a macro that takes since, until and synthetic.';
COMMENT ON COLUMN endpoint_stats.service IS 'The service';
COMMENT ON COLUMN endpoint_stats.endpoint IS 'The endpoint';
COMMENT ON COLUMN endpoint_stats.target IS 'Which shadow';
COMMENT ON COLUMN endpoint_stats.pairs IS 'Requests that both answered, or failed to';
COMMENT ON COLUMN endpoint_stats.match IS 'How many had this outcome; so are the next seven';
COMMENT ON COLUMN endpoint_stats.noise IS 'How many differ only as live itself does';
COMMENT ON COLUMN endpoint_stats.diff IS 'How many differ';
COMMENT ON COLUMN endpoint_stats.live_error IS 'How many failed on live only';
COMMENT ON COLUMN endpoint_stats.shadow_error IS 'How many failed on the shadow only';
COMMENT ON COLUMN endpoint_stats.shadow_missing IS 'How many the shadow was sent and never answered';
COMMENT ON COLUMN endpoint_stats.live_missing IS 'How many have no record of live; in no rate';
COMMENT ON COLUMN endpoint_stats.incomparable IS 'How many could not be compared; in no rate';
COMMENT ON COLUMN endpoint_stats.divergence_rate IS 'Share of requests that diverge, less those of which only the control
    does; where a control answered any, of those that it answered';
COMMENT ON COLUMN endpoint_stats.rate_lo IS 'Lower end of its 95 % interval';
COMMENT ON COLUMN endpoint_stats.rate_hi IS 'Upper end';
COMMENT ON COLUMN endpoint_stats.first_seen IS 'When the first of the requests started';
COMMENT ON COLUMN endpoint_stats.last_seen IS 'When the last of them started';

COMMENT ON VIEW field_stats IS 'How many requests differ at one pattern with one kind, the shadow beside the control, over real
    traffic. Rows with requests = 0 are noise only. With parentheses it is a macro that takes since, until and synthetic.';
COMMENT ON COLUMN field_stats.service IS 'The service';
COMMENT ON COLUMN field_stats.endpoint IS 'The endpoint';
COMMENT ON COLUMN field_stats.target IS 'Which shadow';
COMMENT ON COLUMN field_stats.pattern IS 'Where they differ; (other): beyond limits.patterns';
COMMENT ON COLUMN field_stats.kind IS 'added, removed, changed, type_changed or moved';
COMMENT ON COLUMN field_stats.severity IS 'The highest of the differences there, noise included';
COMMENT ON COLUMN field_stats.pairs IS 'Requests of the endpoint that both answered, or failed to';
COMMENT ON COLUMN field_stats.requests IS 'Those whose shadow differs there, and not by noise';
COMMENT ON COLUMN field_stats.noise_requests IS 'Those that differ there only by noise';
COMMENT ON COLUMN field_stats.rate IS 'Share of requests that differ there, of all that could be compared';
COMMENT ON COLUMN field_stats.rate_lo IS 'Lower end of its 95 % interval';
COMMENT ON COLUMN field_stats.rate_hi IS 'Upper end';
COMMENT ON COLUMN field_stats.control_pairs IS 'Requests of the endpoint that the control answered, or failed to';
COMMENT ON COLUMN field_stats.control_requests IS 'Those whose control differs there from live';
COMMENT ON COLUMN field_stats.control_rate IS 'Their share; null without a control';
COMMENT ON COLUMN field_stats.first_seen IS 'When the first of the requests started, noise included';
COMMENT ON COLUMN field_stats.last_seen IS 'When the last of them started';
COMMENT ON COLUMN field_stats.request_ids IS 'The first five of the requests';
COMMENT ON COLUMN field_stats.live_value IS 'What live has there in the first of them, as JSON text';
COMMENT ON COLUMN field_stats.shadow_value IS 'What the shadow has there';

COMMENT ON VIEW latency_stats IS 'Latencies in milliseconds of requests that live and the shadow both timed, by endpoint and
    target, over real traffic. With parentheses it is a macro that takes since, until and synthetic.';
COMMENT ON COLUMN latency_stats.service IS 'The service';
COMMENT ON COLUMN latency_stats.endpoint IS 'The endpoint';
COMMENT ON COLUMN latency_stats.target IS 'Which shadow';
COMMENT ON COLUMN latency_stats.pairs IS 'How many requests';
COMMENT ON COLUMN latency_stats.live_p50 IS 'Median of live''s, in ms';
COMMENT ON COLUMN latency_stats.live_p90 IS '90th percentile of live''s, in ms';
COMMENT ON COLUMN latency_stats.live_p99 IS '99th percentile of live''s, in ms';
COMMENT ON COLUMN latency_stats.shadow_p50 IS 'Median of the shadow''s, in ms';
COMMENT ON COLUMN latency_stats.shadow_p90 IS '90th percentile of the shadow''s, in ms';
COMMENT ON COLUMN latency_stats.shadow_p99 IS '99th percentile of the shadow''s, in ms';
COMMENT ON COLUMN latency_stats.delta_p50 IS 'Median of shadow less live, request by request, in ms';
COMMENT ON COLUMN latency_stats.delta_p90 IS '90th percentile of the same';
COMMENT ON COLUMN latency_stats.delta_p99 IS '99th percentile of the same';

COMMENT ON MACRO TABLE endpoint_stats IS 'The view endpoint_stats over a time range, and over synthetic traffic.';
COMMENT ON MACRO TABLE field_stats IS 'The view field_stats over a time range, and over synthetic traffic.';
COMMENT ON MACRO TABLE latency_stats IS 'The view latency_stats over a time range, and over synthetic traffic.';
COMMENT ON MACRO TABLE rate_stats IS 'Rates by endpoint and target with their 95 % intervals: divergence_rate (net of the
    control), error_increase (requests that only the shadow failed, less those that only live failed), missing_rate (never
    answered by the shadow). With flag also by the value of that flag (flag_value), with by_as_of by the moment requests
    were served as of, with every by windows of time (window_start).';
COMMENT ON MACRO TABLE learned_names IS 'The templates of learned_endpoints that are in force.';
