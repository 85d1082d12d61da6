"""The checks of an installation, for readiness and for `notifier doctor`."""
