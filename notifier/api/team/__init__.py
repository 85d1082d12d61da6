"""Routes and models of the recipients that team keys may mail."""
