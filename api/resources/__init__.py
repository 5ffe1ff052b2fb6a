"""The routers, one for each kind of thing that is asked for.

A handler translates between HTTP and commands or reads, and decides nothing about an order. What every request passes is
middleware; what several kinds of requests show is in ``api.access``.
"""
