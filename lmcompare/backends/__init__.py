"""A backend is a family of models: a formatter (text → views) and an encoder (views → all layers). One file each."""
