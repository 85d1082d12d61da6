"""The staff console: server-rendered pages under `/console`, for people who do not call the API."""
