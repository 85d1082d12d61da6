"""`python -m notifier`: the command line."""

from notifier.cli.entry_point import start_command_line

if __name__ == "__main__":
    start_command_line()
