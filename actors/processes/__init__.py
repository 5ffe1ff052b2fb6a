"""The Ray actors of the service: each puts its plain classes together in a process of its own, named for operators."""
