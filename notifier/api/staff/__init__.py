"""Routes and models of people who sign in to the console."""
