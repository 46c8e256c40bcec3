"""Where patterns come from: their geometry, files, growing files, memory."""
