"""The command line. Heavy imports live inside the commands, so that `notifier --help` answers at once."""
