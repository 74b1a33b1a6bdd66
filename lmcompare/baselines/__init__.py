"""Baselines learn from the task's own examples only: the floor that pretraining must clear."""
