"""Rendering in child processes: their protocol and pool, and the preview pool for people who edit.

A pinned version, variables and a header go in, the bytes of a mail come out. Templates are compiled and rendered in
child processes only; nothing in here uses the database.
"""
