"""Walking through a template to find what it reads: values, expressions, statements."""
