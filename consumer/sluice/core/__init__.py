"""The runtime: values, pure decisions, the loop and the road of a batch."""
