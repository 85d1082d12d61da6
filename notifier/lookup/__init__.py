"""Reading what happened: find, search, timeline, explanation of a wait, content."""
