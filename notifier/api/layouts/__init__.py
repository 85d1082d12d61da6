"""Routes of layouts."""
