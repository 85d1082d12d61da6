"""What holds mail back without failing it: circuits now; limits and pauses have their room here."""
