"""The denoiser of grain structures: network, blocks, noise, trainer, checkpoint."""
