"""Which answer leads to which request: the links of the OpenAPI document.

An answer that has ids leads to every operation whose path is made of such ids alone.
"""

from __future__ import annotations

import re
from typing import Any

# Operation -> what its answer gives: a path parameter, and where its value is (OpenAPI 3.1, "Runtime Expressions").
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


def links_of(operation_id: str, paths: dict[str, Any]) -> dict[str, Any]:
    """Give the links of an operation's good answers, by the ids of the operations they lead to."""
    told = TOLD.get(operation_id, {})
    links: dict[str, Any] = {}
    for path, item in paths.items():
        names = re.findall(r"{(\w+)}", path)
        if not names or not told.keys() >= set(names):
            continue
        for other in item.values():
            if other["operationId"] != operation_id:
                parameters = {name: told[name] for name in names}
                links[other["operationId"]] = {"operationId": other["operationId"], "parameters": parameters}
    return links
