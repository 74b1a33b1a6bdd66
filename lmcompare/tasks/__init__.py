"""Tasks: what kind each one is, how it is measured, and where its examples come from."""
