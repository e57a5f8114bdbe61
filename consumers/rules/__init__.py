"""The rules: documents, their compiled form, the served set, its publication."""
