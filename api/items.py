"""The lines and the discounts of an order: adding, changing, taking away.

Translates between HTTP and commands. The rules are in the order.
"""

from __future__ import annotations

from api.auth import ORDERS_WRITE
from api.door import Door
from api.exchange import Answer, Incoming
from api.orders import order_answer
from api.schemas import NewDiscount, NewItem, NewQuantity
from domain.commands import AddItem, ApplyDiscount, ChangeQuantity, RemoveDiscount, RemoveItem


class ItemEndpoints:
    """The handlers below ``/api/orders/{order_id}/items`` and ``…/discounts``."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def add(self, asked: Incoming) -> Answer:
        """AgregarProductoAPedido."""
        wish, body = await self._door.wish_with(asked, NewItem, ORDERS_WRITE)
        return order_answer(201, await self._door.command(asked, wish, AddItem(body.sku, body.quantity)))

    async def change_quantity(self, asked: Incoming) -> Answer:
        """Want more or fewer of a line."""
        wish, body = await self._door.wish_with(asked, NewQuantity, ORDERS_WRITE)
        command = ChangeQuantity(asked.id_param("item_id"), body.quantity)
        return order_answer(200, await self._door.command(asked, wish, command))

    async def remove(self, asked: Incoming) -> Answer:
        """Take a line away."""
        wish = await self._door.wish(asked, ORDERS_WRITE)
        return order_answer(200, await self._door.command(asked, wish, RemoveItem(asked.id_param("item_id"))))

    async def apply_discount(self, asked: Incoming) -> Answer:
        """AplicarDescuento."""
        wish, body = await self._door.wish_with(asked, NewDiscount, ORDERS_WRITE)
        return order_answer(200, await self._door.command(asked, wish, ApplyDiscount(body.code)))

    async def remove_discount(self, asked: Incoming) -> Answer:
        """Take a discount away."""
        wish = await self._door.wish(asked, ORDERS_WRITE)
        return order_answer(200, await self._door.command(asked, wish, RemoveDiscount(asked.param("code"))))
