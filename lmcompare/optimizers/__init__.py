"""Optimizers by name, one file a family. A builder takes [(name, parameter), ...] and how many layers below the head
a name stands (None: nothing is known of that), and returns a torch optimizer whose groups `groups` has made."""
