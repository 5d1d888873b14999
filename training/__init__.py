"""What makes the embedded model, from this checkout: `python -m training.nano.NAME`."""
