"""The database: how to reach it, its column types and tables. It knows SQL and nothing of mail."""
