"""Pretraining objectives, one file each: what is predicted from what, the loss, and the held-out figures."""
