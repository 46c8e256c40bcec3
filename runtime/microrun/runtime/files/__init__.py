"""Files that are never half written: beside and renamed, locked, with room on the disk."""
