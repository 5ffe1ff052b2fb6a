"""What a request has to show before it is served: a token, a scope, a rate, a key, a version, a body.

``contexts.py`` has the dependencies that routes name; the rest is what they are made of. Nothing here knows a route.
"""
