"""What every room stands on: errors people can act on, safe files, console, command line."""
