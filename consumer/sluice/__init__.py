"""Sluice: image events in, exactly one verdict and one quality event per image out."""
