"""All that needs an NVIDIA card: CUDA, captured lanes, plans and their sidecars."""
