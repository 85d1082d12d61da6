"""One set of checks, for readiness and for `notifier doctor`."""
