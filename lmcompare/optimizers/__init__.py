"""Optimizers by name, one file a family. A builder takes [(name, parameter), ...] and returns a torch optimizer."""
