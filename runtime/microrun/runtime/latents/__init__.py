"""The product of encoding, one HDF5 file: its origin, its writer, its reader, maps stored in it."""
