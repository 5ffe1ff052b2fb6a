"""What is said: events published and consumed over RabbitMQ. The only home of aio-pika, and of its layer aiormq.

Nothing here knows Ray, a database or the rules of an order; what has to be done with a message is handed in.
"""
