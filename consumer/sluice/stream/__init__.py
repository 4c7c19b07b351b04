"""The runtime of every consumer: poll, cut, launch, commit from the head. It knows records and outcomes, no images."""
