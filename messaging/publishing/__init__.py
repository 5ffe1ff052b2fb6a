"""Our own events: queued, sent in order of each order, confirmed by RabbitMQ."""
