"""Routes of suppressions."""
