-- The tables of a portable database, as analysts see them. Views and macros over them are in views.sql.
--
-- There are no primary keys: they make landing 5 to 15 times dearer. Landing keeps one row per
-- (request_id, target, role) within the horizon by merging. Times are UTC; *_ms are milliseconds.

CREATE TABLE store_version (
    version INTEGER NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);

-- Live against one target for one request. The shadow_* columns hold the control's figures where role is control.
CREATE TABLE comparisons (
    request_id VARCHAR NOT NULL,
    target VARCHAR NOT NULL,
    role VARCHAR NOT NULL,
    service VARCHAR NOT NULL,
    endpoint VARCHAR NOT NULL,
    method VARCHAR NOT NULL,
    path VARCHAR NOT NULL,
    started_at TIMESTAMPTZ NOT NULL,
    live_target VARCHAR,
    live_status INTEGER,
    shadow_status INTEGER,
    live_error VARCHAR,
    shadow_error VARCHAR,
    live_ms DOUBLE,
    shadow_ms DOUBLE,
    delta_ms DOUBLE,
    outcome VARCHAR NOT NULL,
    differences BIGINT NOT NULL,
    noise_differences BIGINT NOT NULL,
    severity VARCHAR,
    late BOOLEAN NOT NULL,
    duplicates BIGINT NOT NULL,
    synthetic VARCHAR,
    flags MAP(VARCHAR, VARCHAR) NOT NULL,
    as_of VARCHAR,
    rules VARCHAR NOT NULL,
    run VARCHAR,
    topic VARCHAR,
    "partition" INTEGER,
    live_offset BIGINT,
    shadow_offset BIGINT,
    landed_at TIMESTAMPTZ
);

-- One place where two documents are not the same; values are JSON text. started_at is the comparison's.
CREATE TABLE differences (
    request_id VARCHAR NOT NULL,
    target VARCHAR NOT NULL,
    role VARCHAR NOT NULL,
    service VARCHAR NOT NULL,
    endpoint VARCHAR NOT NULL,
    started_at TIMESTAMPTZ NOT NULL,
    path VARCHAR NOT NULL,
    shadow_path VARCHAR,
    pattern VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    severity VARCHAR NOT NULL,
    live_value VARCHAR,
    shadow_value VARCHAR,
    noise BOOLEAN NOT NULL,
    reason VARCHAR
);

-- The redacted records behind diverging comparisons, as JSON text. started_at is the comparison's, so that
-- the three tables join on it; the record has its own started_us.
CREATE TABLE exchanges (
    request_id VARCHAR NOT NULL,
    role VARCHAR NOT NULL,
    target VARCHAR NOT NULL,
    service VARCHAR NOT NULL,
    endpoint VARCHAR NOT NULL,
    started_at TIMESTAMPTZ NOT NULL,
    record VARCHAR NOT NULL
);

-- Records that could not be decoded; excerpt is base64 of the first 4 KiB.
CREATE TABLE rejects (
    source VARCHAR NOT NULL,
    line BIGINT,
    "partition" INTEGER,
    "offset" BIGINT,
    reason VARCHAR NOT NULL,
    excerpt VARCHAR NOT NULL,
    landed_at TIMESTAMPTZ
);

-- How many live answers of a service, endpoint, target and minute are alike in something; rows add up. measure is
-- requests, failed, latency (value: the bucket, up to 1.02^bucket ms), shaped, type (field: a pattern, value: the JSON
-- type there) or value (a word there).
CREATE TABLE populations (
    service VARCHAR NOT NULL,
    endpoint VARCHAR NOT NULL,
    target VARCHAR NOT NULL,
    minute TIMESTAMPTZ NOT NULL,
    measure VARCHAR NOT NULL,
    field VARCHAR NOT NULL,
    value VARCHAR NOT NULL,
    responses BIGINT NOT NULL,
    run VARCHAR
);

-- One state change of one alert rule. interval_lo and interval_hi bound the value.
CREATE TABLE alerts (
    name VARCHAR NOT NULL,
    key VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    severity VARCHAR NOT NULL,
    service VARCHAR NOT NULL,
    endpoint VARCHAR NOT NULL,
    target VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    value DOUBLE NOT NULL,
    threshold DOUBLE NOT NULL,
    interval_lo DOUBLE,
    interval_hi DOUBLE,
    since TIMESTAMPTZ NOT NULL,
    "at" TIMESTAMPTZ NOT NULL,
    summary VARCHAR NOT NULL,
    patterns VARCHAR[] NOT NULL,
    request_ids VARCHAR[] NOT NULL,
    link VARCHAR
);

-- The text behind the version hash that every comparison stores.
CREATE TABLE rule_versions (
    version VARCHAR NOT NULL,
    rules VARCHAR NOT NULL,
    first_used TIMESTAMPTZ NOT NULL
);

-- One row per landing: what was read, and what landing it did (new, unchanged, replaced count comparisons).
CREATE TABLE runs (
    run VARCHAR NOT NULL,
    started_at TIMESTAMPTZ NOT NULL,
    finished_at TIMESTAMPTZ NOT NULL,
    command VARCHAR NOT NULL,
    sources VARCHAR[] NOT NULL,
    rules VARCHAR NOT NULL,
    records BIGINT NOT NULL,
    rejects BIGINT NOT NULL,
    comparisons BIGINT NOT NULL,
    pairs BIGINT NOT NULL,
    divergences BIGINT NOT NULL,
    new BIGINT NOT NULL,
    unchanged BIGINT NOT NULL,
    replaced BIGINT NOT NULL
);

-- The synthetic filter's audit: what it sent where, by minute; samples are places like orders[3]@42.
CREATE TABLE routed (
    minute TIMESTAMPTZ NOT NULL,
    topic VARCHAR NOT NULL,
    "partition" INTEGER NOT NULL,
    rule VARCHAR NOT NULL,
    destination VARCHAR NOT NULL,
    events BIGINT NOT NULL,
    first_offset BIGINT,
    last_offset BIGINT,
    samples VARCHAR[] NOT NULL
);

-- Templates learned from cardinality: landed endpoint names and what the views call them. The highest
-- version is in force; each version is a full set.
CREATE TABLE learned_endpoints (
    version BIGINT NOT NULL,
    service VARCHAR NOT NULL,
    endpoint VARCHAR NOT NULL,
    template VARCHAR NOT NULL
);
