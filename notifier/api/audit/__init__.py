"""Routes and models of the audit."""
