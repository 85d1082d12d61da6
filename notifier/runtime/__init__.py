"""The composition root: builds the parts of a process and runs them."""
