"""Stages 1 and 2 as clients see them: an order is made, its lines and discounts are edited. Prices are not known here.

Each edit raises the revision and sends the order back to be validated. A sku that is added again goes into its line.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec.structs import replace

from domain.commands import AddItem, ApplyDiscount, ChangeQuantity, CreateOrder, Message, RemoveDiscount, RemoveItem
from domain.events import EventType
from domain.ids import item_id
from domain.limits import LINES_MAX, QUANTITY_MAX
from domain.order import Order, OrderLine, Status
from domain.pricing import price
from domain.promotions import Discount, code_key, unusable_because
from domain.totals_and_statuses import in_flight, money_kept
from sagas import steps, validating
from sagas.decision import CommandResult, Decision, OrderRules, PromotionUse
from sagas.decision_builder import DecisionBuilder
from sagas.event_data import emit, emit_update, items_data
from sagas.refusals import conflict, not_found, unprocessable

Edit = AddItem | ChangeQuantity | RemoveItem | ApplyDiscount | RemoveDiscount


def create(command: CreateOrder, message: Message, now: datetime, rules: OrderRules) -> Decision:
    """Make a new order and start to validate it. Raises ``Refused`` for what can be known at once to be wrong."""
    order_id = command.order_id
    if not order_id:
        raise ValueError("a creation names the order that it makes")
    prices = rules.shipping_prices.get(command.shipping_method)
    if prices is None:
        method = command.shipping_method
        raise unprocessable("shipping_method_not_supported", f"there is no method {method}", "/shipping_method")
    if command.currency not in prices:
        raise unprocessable("currency_not_supported", f"orders in {command.currency} can't be shipped", "/currency")
    lines: tuple[OrderLine, ...] = ()
    for position, new in enumerate(command.lines):
        lines, _ = _with_more(order_id, lines, new.sku, new.quantity, len(lines), at=f"/items/{position}")
    if not lines:
        raise unprocessable("items_missing", "an order has at least one line", "/items")
    discounts: tuple[Discount, ...] = ()
    for position, code in enumerate(command.discount_codes):
        if not _has(discounts, code):
            place = f"/discount_codes/{position}"
            discounts = (*discounts, _usable(code, discounts, command.currency, message, now, place))
    order = Order(
        id=order_id,
        version=1,
        revision=1,
        status=Status.CREATED,
        customer_id=command.customer_id,
        currency=command.currency,
        lines=lines,
        shipping_method=command.shipping_method,
        created_at=now,
        updated_at=now,
        expires_at=now + timedelta(seconds=rules.payment_window_s),
        address_id=command.address_id,
        discounts=discounts,
        metadata=dict(command.metadata),
        line_seq=len(lines),
    )
    builder = DecisionBuilder(None, order, message, now, rules)
    builder.promotion_uses.extend(PromotionUse(discount.code, order.customer_id) for discount in discounts)
    emit(builder, EventType.CREATED, more=items_data(builder), params={"currency": order.currency})
    validating.begin(builder)
    return builder.finish(CommandResult(settled=False))


def edit(builder: DecisionBuilder, command: Edit) -> CommandResult:
    """Change lines or discounts and validate anew; an edit that changes nothing is a success and nothing else.

    Raises ``Refused``: ``payment_in_progress``, ``item_not_found``, ``last_item``, ``below_paid``, ``too_many_lines``,
    ``quantity_out_of_range`` (a sku that is in the order already is added to its line, up to 10,000), ``discount_…``.
    """
    if in_flight(builder.order) is not None:
        raise conflict("payment_in_progress", "the order can't be edited while a payment's outcome is awaited")
    match command:
        case AddItem():
            return _add_item(builder, command)
        case ChangeQuantity():
            return _change_quantity(builder, command)
        case RemoveItem():
            return _remove_item(builder, command)
        case ApplyDiscount():
            return _apply_discount(builder, command)
        case RemoveDiscount():
            return _remove_discount(builder, command)


def _add_item(builder: DecisionBuilder, command: AddItem) -> CommandResult:
    order = builder.order
    lines, item = _with_more(order.id, order.lines, command.sku, command.quantity, order.line_seq, at="")
    added = len(lines) - len(order.lines)
    _edited(builder, lines, order.discounts, "items", line_seq=order.line_seq + added)
    return CommandResult(resource_id=item, settled=False)


def _change_quantity(builder: DecisionBuilder, command: ChangeQuantity) -> CommandResult:
    order = builder.order
    line = _line(order, command.item_id)
    _check_quantity(command.quantity, at="")
    if line.quantity == command.quantity:
        return CommandResult(resource_id=line.id)
    changed = replace(line, quantity=command.quantity)
    _edited(builder, tuple(changed if each is line else each for each in order.lines), order.discounts, "items")
    return CommandResult(resource_id=line.id, settled=False)


def _remove_item(builder: DecisionBuilder, command: RemoveItem) -> CommandResult:
    order = builder.order
    line = _line(order, command.item_id)
    if len(order.lines) == 1:
        raise conflict("last_item", "an order keeps at least one line")
    _edited(builder, tuple(each for each in order.lines if each is not line), order.discounts, "items")
    return CommandResult(settled=False)


def _apply_discount(builder: DecisionBuilder, command: ApplyDiscount) -> CommandResult:
    order = builder.order
    if _has(order.discounts, command.code):
        return CommandResult()
    discount = _usable(command.code, order.discounts, order.currency, builder.message, builder.now, "/code")
    _edited(builder, order.lines, (*order.discounts, discount), "discounts")
    builder.promotion_uses.append(PromotionUse(discount.code, order.customer_id))
    return CommandResult(settled=False)


def _remove_discount(builder: DecisionBuilder, command: RemoveDiscount) -> CommandResult:
    order = builder.order
    rest = tuple(each for each in order.discounts if code_key(each.code) != code_key(command.code))
    if len(rest) == len(order.discounts):
        raise not_found("discount_not_found", "the order has no such discount")
    builder.releases.extend(each.code for each in order.discounts if each not in rest)
    _edited(builder, order.lines, rest, "discounts")
    return CommandResult(settled=False)


def _edited(
    builder: DecisionBuilder, lines: tuple[OrderLine, ...], discounts: tuple[Discount, ...], what: str, **changes: int
) -> None:
    """Give the order its new lines and discounts and send it back to stage 2.

    Until it is validated its amounts are reckoned with the prices it has; those are all 0 before the first validation.
    """
    order = builder.order
    if order.validated_at is not None:
        priced = price(lines, discounts, order.shipping_amount, builder.rules.shipping_tax_rate)
        all_priced = all(line.name is not None for line in lines)
        kept = money_kept(order)
        if kept and all_priced and priced.total < kept:
            raise conflict("below_paid", f"{kept} is paid already, and the order would come to {priced.total}")
        lines, discounts = priced.lines, priced.discounts
        changes |= {"shipping_discount": priced.shipping_discount, "shipping_tax": priced.shipping_tax}
    was = order.status
    for step in order.steps:
        if step.kind in steps.VALIDATION_STEPS:
            steps.end(builder, step.key)
    builder.change(
        status=Status.CREATED,
        revision=order.revision + 1,
        lines=lines,
        discounts=discounts,
        products=(),
        fetched_customer=None,
        validation_errors=(),
        **changes,
    )
    emit_update(builder, what, "totals", *(("status",) if was is Status.VALIDATED else ()))
    validating.begin(builder)


def _with_more(
    order_id: str, lines: tuple[OrderLine, ...], sku: str, quantity: int, line_seq: int, *, at: str
) -> tuple[tuple[OrderLine, ...], str]:
    """Give the lines with more of a sku, and the id of its line: the one it has, or a new one at the end.

    ``at``: where the command has it.
    """
    for line in lines:
        if line.sku == sku:
            _check_quantity(quantity, at)
            _check_quantity(line.quantity + quantity, at)
            more = replace(line, quantity=line.quantity + quantity)
            return tuple(more if each is line else each for each in lines), line.id
    _check_quantity(quantity, at)
    if len(lines) >= LINES_MAX:
        raise unprocessable("too_many_lines", f"an order has at most {LINES_MAX} lines", at)
    new = OrderLine(id=item_id(order_id, line_seq + 1), sku=sku, quantity=quantity)
    return (*lines, new), new.id


def _check_quantity(quantity: int, at: str) -> None:
    if not 1 <= quantity <= QUANTITY_MAX:
        raise unprocessable(
            "quantity_out_of_range", f"a line has 1 to {QUANTITY_MAX} pieces, not {quantity}", f"{at}/quantity"
        )


def _line(order: Order, wanted: str) -> OrderLine:
    for line in order.lines:
        if line.id == wanted:
            return line
    raise not_found("item_not_found", "the order has no such item")


def _usable(
    code: str, beside: tuple[Discount, ...], currency: str, message: Message, now: datetime, place: str
) -> Discount:
    """Give the discount of a code. Raises ``Refused`` (422) where the code can't be used on the order at all."""
    wanted = code_key(code)
    promotion = next((each for each in message.lookups.promotions if code_key(each.code) == wanted), None)
    if promotion is None:
        raise unprocessable("discount_not_found", f"there is no discount {code}", place)
    others = tuple(discount.promotion for discount in beside)
    why = unusable_because(promotion, currency=currency, beside=others, now=now)
    if why is not None:
        raise unprocessable(why, f"the discount {code} can't be used on this order", place)
    return Discount(code=promotion.code, promotion=promotion)


def _has(discounts: tuple[Discount, ...], code: str) -> bool:
    return any(code_key(each.code) == code_key(code) for each in discounts)
