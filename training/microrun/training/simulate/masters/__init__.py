"""Master patterns of many phases: from EMsoft's files, from a folder of them, or computed of a crystal."""
