"""Problem details (RFC 9457): the catalogue of codes, the responses, and a page for each."""
