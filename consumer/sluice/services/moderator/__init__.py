"""The moderator: images in, verdicts out."""
