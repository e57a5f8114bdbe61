"""The door: callbacks in, acknowledgements and decisions out."""
