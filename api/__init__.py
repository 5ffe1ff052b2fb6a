"""The front door: HTTP in and out, and the only home of FastAPI.

It checks shape, access and limits, turns a request into a message for the order's owner or a read of committed rows,
and renders what comes back. No rule of an order lives here.
"""
