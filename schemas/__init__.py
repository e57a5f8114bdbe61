"""The vocabulary: what the bridge and its consumers agree on. Imports nothing of ours."""
