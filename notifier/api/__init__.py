"""The HTTP API for other services. Routes parse, call one operation and show its result; there is no SQL here."""
