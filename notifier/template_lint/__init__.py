"""Rules that look at a template before it is published; each has a stable code."""
