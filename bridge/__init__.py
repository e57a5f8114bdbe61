"""The service: takes callbacks in, keeps the log, hosts the process."""

__version__ = "0.1.0"
