"""Bringing an image's bytes: inline, by HTTP, from S3, from files; each reference is checked before it is followed."""
