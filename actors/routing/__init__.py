"""Routing: which process owns an order, and asking it until the message's deadline.

What is done with the message there does not belong here, and nothing here owns an order.
"""
