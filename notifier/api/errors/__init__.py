"""Problem details (RFC 9457): the catalogue of codes, the faults of a request, and the responses."""
