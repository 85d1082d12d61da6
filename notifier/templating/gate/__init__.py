"""Before a template is published: what would become of those who use it."""
