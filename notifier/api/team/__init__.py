"""Routes of the team's addresses, to which team keys may mail."""
