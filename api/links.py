"""Which answer leads to which request: the links of the OpenAPI document.

An answer that tells ids leads to every operation whose path is made of such ids alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from api.operations import Operation

# Operation -> what its answer tells: a path parameter, and where its value is (OpenAPI 3.1, "Runtime Expressions").
TOLD: dict[str, dict[str, str]] = {
    "CrearPedido": {
        "order_id": "$response.body#/id",
        "item_id": "$response.body#/items/0/id",
        "customer_id": "$response.body#/customer/id",
    },
    "AplicarDescuento": {"order_id": "$response.body#/id", "code": "$response.body#/discounts/0/code"},
    "ProcesarPago": {"order_id": "$request.path.order_id", "payment_id": "$response.body#/payment_id"},
    "CrearPromocion": {"code": "$response.body#/code"},
    "ListarMensajesMuertos": {"letter_id": "$response.body#/data/0/id"},
}


def path_parameters(operation: Operation) -> list[str]:
    """The names of the variables in an operation's path, in their order."""
    return re.findall(r"{(\w+)}", operation.path)


def links_of(operation: Operation, operations: Iterable[Operation]) -> dict[str, Any]:
    """Give the links of an operation's good answers, by the ids of the operations they lead to."""
    told = TOLD.get(operation.id, {})
    links: dict[str, Any] = {}
    for other in operations:
        names = path_parameters(other)
        if names and told.keys() >= set(names) and other is not operation:
            links[other.id] = {"operationId": other.id, "parameters": {name: told[name] for name in names}}
    return links
