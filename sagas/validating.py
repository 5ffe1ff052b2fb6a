"""Stage 2: the customer is known and active, each product is sellable and priced, the stock is held until it expires.

Products and customer are asked for side by side unless fresh copies are at hand; then the stock is asked for. A copy
may let an order through, but only the partners' own words fail it. A validation names the versions that it judged by, and
begins anew where an event announced newer ones.
"""

from __future__ import annotations

from msgspec.structs import replace

from domain.calls import (
    CustomerFetched,
    Declined,
    HoldAnswered,
    NotFound,
    NotSent,
    Outcome,
    ProductsFetched,
    Unknown,
)
from domain.limits import AMOUNT_MAX_MINOR
from domain.money import fraction
from domain.order import (
    Address,
    CancelReason,
    Customer,
    HoldState,
    Order,
    OrderLine,
    Product,
    Status,
    Step,
    StepKind,
    StepState,
    ValidationError,
)
from domain.pricing import Priced, price
from domain.reference_data import versions_of
from sagas import compensating, holds, paying, preparing, steps
from sagas.decision import OrderRules
from sagas.decision_builder import DecisionBuilder
from sagas.event_data import emit_update

ASK_ANEW_CODES = ("stale_revision", "conflict")
FETCHES = (StepKind.FETCH_PRODUCTS, StepKind.FETCH_CUSTOMER)
OUTDATED = "events have told of newer products or a newer customer"
STOCK_CODES = ("out_of_stock", "hold_released")  # a repeat of what was held would be answered "held"


def begin(builder: DecisionBuilder) -> None:
    """Start stage 2 for the order as it stands: with copies that are at hand and find no fault, else by asking."""
    order, lookups = builder.order, builder.message.lookups
    if lookups.products is not None and lookups.customer is not None:
        wanted = {line.sku for line in order.lines}
        products = tuple(product for product in lookups.products if product.sku in wanted)
        if not _faults(order, products, lookups.customer, builder.rules):
            builder.change(products=products, fetched_customer=lookups.customer)
            holds.ask(builder, order.revision)
            return
    steps.start(builder, *(steps.intent(builder, kind, f"{kind.value}:{order.revision}") for kind in FETCHES))


def fetch_answered(builder: DecisionBuilder, step: Step, outcome: Outcome) -> None:
    """Take in what ProductSvc or UserSvc said; when both have, the stock is asked for."""
    match outcome:
        case ProductsFetched() if step.kind is StepKind.FETCH_PRODUCTS:
            wanted = {line.sku for line in builder.order.lines}
            builder.change(products=tuple(each for each in outcome.products if each.sku in wanted))
        case CustomerFetched() if step.kind is StepKind.FETCH_CUSTOMER:
            builder.change(fetched_customer=outcome.customer)
        case NotFound() if step.kind is StepKind.FETCH_CUSTOMER:
            _fail(builder, (ValidationError("customer_unknown", None, "UserSvc does not know the customer"),))
            return
        case Declined():
            _fail(builder, (ValidationError("lookup_declined", None, f"{step.kind.value}: {outcome.code}"),))
            return
        case NotSent() | Unknown():
            steps.no_answer(builder, step.key, step, outcome)
            return
        case _:
            steps.retry_later(builder, step.key, step, f"unexpected answer: {type(outcome).__name__}")
            return
    steps.end(builder, step.key)
    order = builder.order
    if steps.has_step(order, *FETCHES) or order.fetched_customer is None:
        return
    faults = _faults(order, order.products, order.fetched_customer, builder.rules)
    if not faults:
        holds.ask(builder, order.revision, rounds=step.rounds)
    elif builder.message.lookups.is_outdated:
        _begin_anew(builder, step)
    else:
        builder.reference_versions = versions_of(order.products, order.fetched_customer)
        _fail(builder, faults)


def hold_answered(builder: DecisionBuilder, step: Step, outcome: Outcome) -> None:
    """Take in the answer to a hold, in whichever stage it was asked for.

    A refusal of what may have been held before, by a code that does not show that it was not, is asked for under the
    next revision: what that one is refused is final.
    """
    match outcome:
        case HoldAnswered(state="held" | "committed"):
            _held(builder, step, HoldState(outcome.state))
        case HoldAnswered(state="expired"):
            holds.ask_anew_later(builder, step, "the hold expired before it was answered")
        case HoldAnswered(state="released"):
            _refused(builder, step, Declined(409, "hold_released"))
        case Declined(code="already_committed") if builder.order.status is Status.CONFIRMED:
            _held(builder, step, HoldState.COMMITTED)
        case Declined() if outcome.code in ASK_ANEW_CODES:
            holds.ask_anew_later(builder, step, outcome.code)
        case Declined() if step.may_have_happened and outcome.code not in STOCK_CODES:
            holds.ask_anew_later(builder, step, outcome.code)
        case Declined():
            _refused(builder, step, outcome)
        case NotSent() | Unknown():
            steps.no_answer(builder, step.key, step, outcome)
        case _:
            steps.retry_later(builder, step.key, step, f"unexpected answer: {type(outcome).__name__}")


def hold_lost(builder: DecisionBuilder) -> None:
    """ProductSvc lost the hold: ask for it again while the order depends on it.

    While a commit is out, its answer decides; before the next validation and from ``prepared`` on there is nothing to ask
    for.
    """
    order = builder.order
    asking = holds.hold_step(order)
    if asking is not None:
        holds.ask_anew(builder, asking)
    elif order.status is Status.VALIDATED:
        builder.change(hold=HoldState.LOST)
        holds.ask(builder, order.revision + 1)
        emit_update(builder, "hold")


def _held(builder: DecisionBuilder, step: Step, state: HoldState) -> None:
    was = builder.order.status
    if was is Status.CREATED and builder.message.lookups.is_outdated:
        _begin_anew(builder, step)
        return
    steps.end(builder, step.key)
    builder.change(hold=state)
    if was is Status.CREATED:
        _validated(builder, step)
        return
    emit_update(builder, "hold")
    preparing.prepare(builder)


def _validated(builder: DecisionBuilder, step: Step) -> None:
    order, customer = builder.order, builder.order.fetched_customer
    if customer is not None:
        builder.reference_versions = versions_of(order.products, customer)
    priced = _priced(order, order.products, builder.rules)
    builder.change(
        status=Status.VALIDATED,
        lines=priced.lines,
        discounts=priced.discounts,
        shipping_amount=priced.shipping_amount,
        shipping_discount=priced.shipping_discount,
        shipping_tax=priced.shipping_tax,
        customer=customer,
        shipping_address=_address(order, customer) if customer else None,
        products=(),
        fetched_customer=None,
        validation_errors=(),
        validated_at=builder.now,
        expires_at=step.until or order.expires_at,
    )
    emit_update(builder, "status", "validation", "items", "discounts", "totals", "hold", by_itself=True)
    paying.advance(builder)


def _begin_anew(builder: DecisionBuilder, step: Step) -> None:
    """Ask for products and customer again after a wait, which grows with each round: those that led to ``step`` were outdated."""
    rounds, revision = step.rounds + 1, builder.order.revision + 1
    steps.end(builder, step.key)
    builder.change(revision=revision, products=(), fetched_customer=None)
    for kind in FETCHES:
        intent = steps.intent(builder, kind, f"{kind.value}:{revision}", rounds=rounds)
        anew = replace(intent, state=StepState.RETRYING, attempts=rounds)
        builder.change(steps=(*builder.order.steps, anew))
        steps.retry_later(builder, anew.key, anew, OUTDATED)


def _refused(builder: DecisionBuilder, step: Step, said: Declined) -> None:
    reason = CancelReason.OUT_OF_STOCK if said.code in STOCK_CODES else CancelReason.VALIDATION_FAILED
    short = tuple(ValidationError(said.code, each.sku, f"only {each.available} available") for each in said.shortages)
    errors = short or (ValidationError(said.code, None, said.detail or "ProductSvc refused to hold the stock"),)
    steps.end(builder, step.key)
    if builder.order.status is Status.CREATED and said.code != "hold_released":
        _fail(builder, errors, reason)
        return
    # Until the confirmation it is a validation that fails as the first would have.
    is_early = builder.order.status in (Status.CREATED, Status.VALIDATED)
    builder.change(validation_errors=errors)
    compensating.cancel(builder, reason if is_early else CancelReason.OUT_OF_STOCK, by_itself=True)


def _fail(
    builder: DecisionBuilder, errors: tuple[ValidationError, ...], reason: CancelReason = CancelReason.VALIDATION_FAILED
) -> None:
    """The first validation that fails cancels the order; after that it waits for another edit."""
    for step in builder.order.steps:
        if step.kind in steps.VALIDATION_STEPS:
            steps.end(builder, step.key)
    builder.change(validation_errors=errors, products=(), fetched_customer=None)
    if builder.order.validated_at is None:
        compensating.cancel(builder, reason, by_itself=True)
    else:
        emit_update(builder, "validation", by_itself=True)


def _faults(
    order: Order, products: tuple[Product, ...], customer: Customer, rules: OrderRules
) -> tuple[ValidationError, ...]:
    """Give all reasons why the order can't be validated with these products and this customer; empty when it can."""
    by_sku = {product.sku: product for product in products}
    faults = [
        fault for line in order.lines if (fault := _product_fault(line.sku, by_sku.get(line.sku), order.currency))
    ]
    if customer.customer_id != order.customer_id:
        faults.append(ValidationError("customer_unknown", None, "UserSvc answered for another customer"))
    elif customer.status != "active":
        faults.append(ValidationError("customer_blocked", None, f"the customer is {customer.status}"))
    elif _address(order, customer) is None:
        faults.append(ValidationError("address_unknown", None, "the customer has no such address"))
    if order.currency not in rules.shipping_prices.get(order.shipping_method, {}):
        faults.append(ValidationError("currency_not_supported", None, f"no shipping price in {order.currency}"))
    if not faults and _is_too_large(order, by_sku, rules):
        faults.append(ValidationError("total_too_large", None, f"the total is above {AMOUNT_MAX_MINOR}"))
    return tuple(faults)


def _product_fault(sku: str, product: Product | None, currency: str) -> ValidationError | None:
    if product is None:
        return ValidationError("product_unknown", sku, "ProductSvc does not know the product")
    if not product.sellable:
        return ValidationError("product_not_sellable", sku, "the product is not for sale")
    if product.currency != currency or product.unit_price < 0:
        return ValidationError("price_missing", sku, f"the product has no price in {currency}")
    try:
        fraction(product.tax_rate)
    except ValueError:
        return ValidationError("tax_rate_missing", sku, "the product has no tax rate")
    return None


def _is_too_large(order: Order, by_sku: dict[str, Product], rules: OrderRules) -> bool:
    """Tell whether the total would not be below 2^53; the exact total is reckoned only where it comes near."""
    items = sum(by_sku[line.sku].unit_price * line.quantity for line in order.lines)
    shipping = rules.shipping_prices[order.shipping_method][order.currency]
    if 2 * (items + shipping) <= AMOUNT_MAX_MINOR:
        return False
    if items > AMOUNT_MAX_MINOR:
        return True
    return _priced(order, tuple(by_sku.values()), rules).total > AMOUNT_MAX_MINOR


def _priced(order: Order, products: tuple[Product, ...], rules: OrderRules) -> Priced:
    by_sku = {product.sku: product for product in products}
    lines = tuple(_with_price(line, by_sku[line.sku]) for line in order.lines)
    shipping = rules.shipping_prices[order.shipping_method].get(order.currency, order.shipping_amount)
    return price(lines, order.discounts, shipping, rules.shipping_tax_rate)


def _with_price(line: OrderLine, product: Product) -> OrderLine:
    return replace(line, name=product.name, unit_price=product.unit_price, tax_rate=product.tax_rate)


def _address(order: Order, customer: Customer) -> Address | None:
    """Give the address named when the order was created, or the customer's first; None where there is none."""
    for address in customer.addresses:
        if order.address_id is None or address.address_id == order.address_id:
            return address
    return None
