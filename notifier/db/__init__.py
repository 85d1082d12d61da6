"""The database: connections, column types and tables. It knows SQL and nothing of mail."""
