"""The lines and the discounts of an order: adding, changing, taking away.

Translates between HTTP and commands. The rules are in the order, and a validation follows each of these.
"""

from __future__ import annotations

from api.auth import ORDERS_WRITE
from api.door import Door, Wish
from api.exchange import Answer, Incoming
from api.order_ids import order_id_of
from api.schemas import NewDiscount, NewItem, NewQuantity
from api.waiting import ValidationWait
from domain.commands import AddItem, ApplyDiscount, ChangeQuantity, RemoveDiscount, RemoveItem

Edit = AddItem | ChangeQuantity | RemoveItem | ApplyDiscount | RemoveDiscount


class ItemEndpoints:
    """The handlers below ``/api/orders/{order_id}/items`` and ``…/discounts``."""

    def __init__(self, door: Door, wait: ValidationWait) -> None:
        self._door = door
        self._wait = wait

    async def add(self, asked: Incoming) -> Answer:
        """AgregarProductoAPedido."""
        wish, body = await self._door.wish_with(asked, NewItem, ORDERS_WRITE)
        return await self._edit(asked, wish, AddItem(body.sku, body.quantity), 201)

    async def change_quantity(self, asked: Incoming) -> Answer:
        """Want more or fewer of a line."""
        wish, body = await self._door.wish_with(asked, NewQuantity, ORDERS_WRITE)
        return await self._edit(asked, wish, ChangeQuantity(asked.id_param("item_id"), body.quantity))

    async def remove(self, asked: Incoming) -> Answer:
        """Take a line away."""
        wish = await self._door.wish(asked, ORDERS_WRITE)
        return await self._edit(asked, wish, RemoveItem(asked.id_param("item_id")))

    async def apply_discount(self, asked: Incoming) -> Answer:
        """AplicarDescuento."""
        wish, body = await self._door.wish_with(asked, NewDiscount, ORDERS_WRITE)
        return await self._edit(asked, wish, ApplyDiscount(body.code))

    async def remove_discount(self, asked: Incoming) -> Answer:
        """Take a discount away."""
        wish = await self._door.wish(asked, ORDERS_WRITE)
        return await self._edit(asked, wish, RemoveDiscount(asked.param("code")))

    async def _edit(self, asked: Incoming, wish: Wish, edit: Edit, status: int = 200) -> Answer:
        order_id = order_id_of(asked)
        reply = await self._door.send(asked, wish, order_id, edit)
        return await self._wait.answer(asked, wish.caller, order_id, status, reply)
