"""What every room may use: errors, devices, the machine, files."""
