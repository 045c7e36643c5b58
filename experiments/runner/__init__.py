"""The loop, grids, records, checkpoints, and stopping."""
