"""`microrun doctor`: what runs on this machine."""
