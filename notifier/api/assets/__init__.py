"""Routes of images for templates."""
