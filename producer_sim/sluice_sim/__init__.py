"""The outside world of Sluice: seeded pictures and prompts, a sender, faults, and an observer."""
