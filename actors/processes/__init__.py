"""The Ray actors of the service: each puts its plain classes together in a process of its own, named for operators.

Starting, watching and ending processes belongs here, and all composition. What an order does with a message does not.
"""
