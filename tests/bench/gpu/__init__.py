"""What a GPU makes of the models: see METHOD.md."""
