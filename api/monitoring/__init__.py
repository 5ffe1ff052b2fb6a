"""How the service is: the health of what it depends on, and its metrics, on the API's own port and on one of their own."""
