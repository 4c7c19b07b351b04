"""Weights and scores: the only package that loads models."""
