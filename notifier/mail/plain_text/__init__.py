"""The text part that is built from a mail's HTML: what a reader of the HTML sees, and no more."""
