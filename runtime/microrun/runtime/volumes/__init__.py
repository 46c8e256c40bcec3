"""Finished volumes of voxels: values and labels, grains measured and compared, voxelised parts."""
