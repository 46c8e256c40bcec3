"""From a raw pattern to what an engine takes: binned, without background, masked, stretched."""
