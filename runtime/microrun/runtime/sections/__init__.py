"""Two-dimensional sections of printed metal, of any origin: their files, their grains, and what is measured of them."""
