"""A template's life: read from files, checked, published as numbered versions that never change."""
