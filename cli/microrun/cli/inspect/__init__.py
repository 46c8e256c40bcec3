"""`microrun inspect`: what a file holds."""
