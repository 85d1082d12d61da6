"""Routes and models of suppressions."""
