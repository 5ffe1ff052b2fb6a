"""Load tests: locust scenarios that speak HTTP to a running service on this machine, and the search for its capacity.

One scenario a file; each says which traffic it imitates. Nothing here knows how the service works inside.
"""
