"""Route of the audit."""
