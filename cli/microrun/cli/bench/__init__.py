"""`microrun bench`: what measures, and the tables that it prints."""
