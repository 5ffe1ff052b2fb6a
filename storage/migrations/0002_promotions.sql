-- Promotions, and who used them. Uses are counted under a lock of the promotion's row, in the transaction of the commit that
-- depends on them.

create table promotions (
    code                    text primary key,
    kind                    text not null,
    fraction                text,
    amount                  bigint,
    currency                text,
    buy_quantity            integer,
    get_quantity            integer,
    skus                    text[] not null,
    starts_at               timestamptz,
    ends_at                 timestamptz,
    min_subtotal            bigint,
    max_uses                bigint,
    max_uses_per_customer   bigint,
    combinable              boolean not null,
    active                  boolean not null,
    used                    bigint not null default 0,
    created_at              timestamptz not null default clock_timestamp(),
    updated_at              timestamptz not null default clock_timestamp(),
    constraint kind_is_known check (kind in ('percentage', 'fixed_amount', 'buy_x_get_y', 'free_shipping')),
    constraint uses_are_counted check (used >= 0)
) with (fillfactor = 50);
comment on constraint kind_is_known on promotions is 'A promotion is of one of the four kinds of the contract.';
comment on constraint uses_are_counted on promotions is 'A use is given back at most once.';
comment on column promotions.used is
    'How many rows of promotion_uses have this code. Not checked against max_uses here: staff may lower the limit below it.';

create table promotion_uses (
    code         text not null,
    order_id     uuid not null,
    customer_id  text not null,
    at           timestamptz not null default clock_timestamp(),
    constraint an_order_uses_a_code_once primary key (code, order_id)
);
create index promotion_uses_of_customer on promotion_uses (code, customer_id);
comment on constraint an_order_uses_a_code_once on promotion_uses is 'L9: claiming a code again for the same order takes no second use.';

-- Lock the promotions that a batch claims or gives back, always in the order of their codes, so that two batches can't wait
-- for each other.
create function lock_promotions(codes text[]) returns void language sql as $$
    select 1 from promotions where code = any(codes) order by code for update;
$$;

-- Take uses, in the order in which they are given, and tell who got none and why. The promotions must be locked. An order
-- that gets one of its codes refused gets none of them.
create function claim_promotions(order_ids uuid[], codes text[], customer_ids text[])
returns table (refused_order uuid, refusal text) language plpgsql as $$
declare
    wanted record;
    one promotions%rowtype;
    lost uuid[] := '{}';
    reason text;
begin
    for wanted in
        select * from unnest(order_ids, codes, customer_ids) with ordinality as w (order_id, code, customer_id, place) order by place
    loop
        continue when wanted.order_id = any(lost);
        continue when exists (select from promotion_uses u where u.code = wanted.code and u.order_id = wanted.order_id);
        select * into one from promotions p where p.code = wanted.code;
        reason := case
            when not found then 'discount_not_found'
            when not one.active or one.starts_at > clock_timestamp() or one.ends_at <= clock_timestamp() then 'discount_not_active'
            when one.used >= one.max_uses then 'discount_exhausted'
            when one.max_uses_per_customer <= (
                select count(*) from promotion_uses u where u.code = wanted.code and u.customer_id = wanted.customer_id
            ) then 'discount_exhausted'
        end;
        if reason is null then
            insert into promotion_uses (code, order_id, customer_id) values (wanted.code, wanted.order_id, wanted.customer_id);
            update promotions p set used = p.used + 1 where p.code = wanted.code;
        else
            lost := lost || wanted.order_id;
            perform release_promotions(
                array(select order_ids[i] from generate_subscripts(order_ids, 1) i where order_ids[i] = wanted.order_id and codes[i] <> wanted.code),
                array(select codes[i] from generate_subscripts(order_ids, 1) i where order_ids[i] = wanted.order_id and codes[i] <> wanted.code));
            refused_order := wanted.order_id;
            refusal := reason;
            return next;
        end if;
    end loop;
end
$$;

-- Give uses back; one that is not there is given back already.
create function release_promotions(order_ids uuid[], codes text[]) returns void language sql as $$
    with gone as (
        delete from promotion_uses u using unnest(order_ids, codes) as g (order_id, code)
        where u.code = g.code and u.order_id = g.order_id returning u.code
    )
    update promotions p set used = p.used - g.n
    from (select code, count(*) as n from gone group by code) g where p.code = g.code;
$$;
