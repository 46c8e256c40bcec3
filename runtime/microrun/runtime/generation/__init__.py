"""Volumes in the making: steps of sampling, tilings, folders of blocks, growing here or on Dask."""
