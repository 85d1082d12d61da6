"""The HTTP door for other services: parse, call one function, show. No SQL in here."""
