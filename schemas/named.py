"""Named tuples on the way of every callback."""

make = tuple.__new__
"""Makes a named tuple of its class and all its fields, defaults included, for half the price of a call.

Nothing checks how many fields are given: the places that use it name each.
"""
