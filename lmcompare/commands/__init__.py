"""The commands of `lmc`, by what they are for. Each calls one experiment and prints; no science here, and nothing
heavy is imported at the top."""
