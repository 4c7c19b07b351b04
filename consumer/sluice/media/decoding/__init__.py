"""Bytes into pixels, and pixels into what the models see."""
