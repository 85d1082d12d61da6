"""The language of templates: sandbox, filters, escaping, compiled versions, and the explanation of errors."""
