"""Whether a scan stays as it began, and is of patterns that the model knows: measured in blocks while it is encoded."""
