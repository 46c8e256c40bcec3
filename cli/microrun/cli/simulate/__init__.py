"""`microrun simulate`: scans and volumes with known truth."""
