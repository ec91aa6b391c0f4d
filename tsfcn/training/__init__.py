"""From arrays and settings to trained weights."""
