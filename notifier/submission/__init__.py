"""From a request to a written notification: validate it, then write it with its outbox entry."""
