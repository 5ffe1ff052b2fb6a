"""Load scenarios for locust: one a file, each says which traffic it imitates. They speak HTTP only, to loopback only."""
