"""Calls between the processes of the service: frames, connections, and where each process listens.

Arguments and results are bytes and plain values here. What an order is, and what a message asks of one, does not belong here.
"""
