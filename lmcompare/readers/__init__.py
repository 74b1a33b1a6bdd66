"""Task networks over frozen layers, one file each: states and mask in, states out, and a vector for a whole view."""
