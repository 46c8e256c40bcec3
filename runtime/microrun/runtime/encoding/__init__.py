"""From patterns to latents and back: feed, lanes in scan order, runs from file to file."""
