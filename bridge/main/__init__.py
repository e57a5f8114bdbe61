"""The composition root: settings in, running service out. Known by the command line alone."""
