"""`python -m bench`. Rendering children import this module again, so it imports nothing unless it is the program."""

if __name__ == "__main__":
    import sys

    from bench.run import main

    sys.exit(main())
