"""From a claimed entry to a settled one: load, render, send, decide, write, recover."""
