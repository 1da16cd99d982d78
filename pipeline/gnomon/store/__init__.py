"""The only home of DuckDB: the schema, landing and queries."""
