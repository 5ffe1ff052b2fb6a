"""What every request passes: bounds on connections and heads, middleware, and the short way of a route.

Nothing here knows an order, a caller or an operation.
"""
