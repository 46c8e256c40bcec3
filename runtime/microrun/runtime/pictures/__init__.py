"""What draws; the only package that knows matplotlib."""
