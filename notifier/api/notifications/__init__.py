"""Routes and models of notifications: submit, find, change, read the content."""
