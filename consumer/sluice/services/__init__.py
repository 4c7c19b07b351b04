"""What runs: each service puts the parts together and adds nothing of its own."""
