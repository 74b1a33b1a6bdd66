"""A comparison as people read it: a table on the terminal, and a one-file page for the browser."""
