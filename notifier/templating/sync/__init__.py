"""Templates as files: read, written, and kept in step with the database, both ways."""
