"""The readers: take the log in, write stores and rule sets."""
