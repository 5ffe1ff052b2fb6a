"""The HTTP API, and the only home of FastAPI: routers, dependencies and middleware as FastAPI has them.

It checks shape, access and limits, turns a request into a message for the order's owner or a read of committed rows, and renders
what comes back. No rule of an order lives here. ``app.py`` puts the application together, ``composition.py`` the process.
"""
