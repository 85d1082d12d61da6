"""Pinned source + variables + envelope → the bytes of a mail. No database and no socket to anyone else in here.

Templates are compiled and rendered in child processes only (`pool` and `child`); the rest is what the children do.
"""
