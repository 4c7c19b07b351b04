"""Judging, pure: what an image's scores mean, and the events that say so."""
