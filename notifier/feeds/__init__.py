"""Feeds: documents of others, loaded by a job, checked, and kept in revisions that others can rely on."""
