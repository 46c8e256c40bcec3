"""`microrun generate`: volumes grown from blocks."""
