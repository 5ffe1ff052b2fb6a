"""What every request passes, whatever it asks for: bounds on connections and heads, middleware, and the short way of a route.

Nothing here knows an order, a caller or an operation.
"""
