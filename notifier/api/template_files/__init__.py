"""Routes and models of a folder of templates: read for a pull or a diff, and pushed."""
