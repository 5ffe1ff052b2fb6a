"""The topology on a real RabbitMQ, whichever version it is."""

from __future__ import annotations

import aio_pika

from messaging import topology


async def test_it_can_be_declared_again_and_again(amqp_url: str) -> None:
    async with await aio_pika.connect(amqp_url) as connection:
        await topology.declare(connection)
        await topology.declare(connection)


async def test_a_queue_that_exists_otherwise_is_used_as_it_is(amqp_url: str) -> None:
    """A broker that was upgraded from 3 to 4 has an inbox without the argument that 4 is asked for."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        inbox = await channel.declare_queue(topology.INBOX, durable=True)
        await topology.declare(connection)
        exchange = await channel.get_exchange("paymentsvc.events", ensure=False)
        await exchange.publish(aio_pika.Message(b"{}"), "PagoConfirmado")
        message = await inbox.get(timeout=5)
        assert message is not None
        await message.ack()


async def test_a_message_is_not_dropped_for_being_delivered_often(amqp_url: str) -> None:
    async with await aio_pika.connect(amqp_url) as connection:
        await topology.declare(connection)
        channel = await connection.channel()
        await channel.default_exchange.publish(aio_pika.Message(b"{}"), topology.INBOX)
        inbox = await channel.get_queue(topology.INBOX, ensure=False)
        for _ in range(30):
            message = await inbox.get(timeout=5)
            assert message is not None
            await message.nack(requeue=True)
        message = await inbox.get(timeout=5)
        assert message is not None
        await message.ack()


async def test_a_type_that_is_not_consumed_does_not_reach_the_inbox(amqp_url: str) -> None:
    async with await aio_pika.connect(amqp_url) as connection:
        await topology.declare(connection)
        channel = await connection.channel(on_return_raises=False)
        exchange = await channel.get_exchange("paymentsvc.events", ensure=False)
        await exchange.publish(aio_pika.Message(b"{}"), "PagoOlvidado")
        inbox = await channel.declare_queue(topology.INBOX, passive=True)
        assert inbox.declaration_result.message_count == 0
