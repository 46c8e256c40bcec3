"""Other programs' formats, of latents and of volumes."""
