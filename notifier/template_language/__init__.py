"""The language of templates: what it offers, what it refuses, and how it tells people what is wrong."""
