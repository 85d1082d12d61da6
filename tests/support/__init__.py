"""The real parts that tests are made of: a PostgreSQL of their own, a scripted relay, a seeded installation."""
