"""The autoencoder of patterns: network, data, losses, trainer, checkpoint."""
