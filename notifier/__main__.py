"""`python -m notifier`: the command line."""

from notifier.cli.main import run

if __name__ == "__main__":
    run()
