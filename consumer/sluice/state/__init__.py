"""What one life of a process leaves to the next."""
