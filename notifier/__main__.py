"""`python -m notifier`: the command line."""

from notifier.cli.main import run_command_line

if __name__ == "__main__":
    run_command_line()
