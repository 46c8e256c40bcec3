"""What runs a model on a device: one file per library, all of them opened by `open`."""
