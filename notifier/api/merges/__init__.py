"""Routes and models of mail merges."""
