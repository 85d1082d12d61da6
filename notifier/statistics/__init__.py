"""Statistics: the roll-up of notifications, made from ranges of ids, and what is asked of it."""
