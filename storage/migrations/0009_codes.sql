-- Discount codes are compared without case (spec.md, "The edges"). They have letters of ASCII only, whose case is the same
-- everywhere by the collation "C"; a promotion keeps the code as staff wrote it, and so do orders that have it.

do $$
declare
    alike text;
begin
    select string_agg(codes, '; ') into alike from (
        select string_agg(code, ', ' order by code collate "C") as codes from promotions
        group by lower(code collate "C") having count(*) > 1 order by 1) each;
    if alike is not null then
        raise exception 'promotions whose codes differ in case alone, of each of which one may stay: %', alike;
    end if;
end
$$;

create unique index promotion_code_is_unique_without_case on promotions (lower(code collate "C"));
comment on index promotion_code_is_unique_without_case is 'A customer who writes a code in another case means the same promotion.';
create index promotion_uses_by_code on promotion_uses (lower(code collate "C"), order_id);
create index promotion_uses_of_customer_by_code on promotion_uses (lower(code collate "C"), customer_id);
drop index promotion_uses_of_customer;
comment on column promotions.used is
    'How many rows of promotion_uses have this code, in whatever case. Not checked against max_uses here: staff may lower the '
    'limit below it.';

-- Uses under another spelling, of a promotion that was deleted meanwhile, count for the code.
update promotions p set used = (select count(*) from promotion_uses u where lower(u.code collate "C") = lower(p.code collate "C"))
where exists (
    select from promotion_uses u where lower(u.code collate "C") = lower(p.code collate "C") and u.code <> p.code);

create or replace function lock_promotions(codes text[]) returns void language sql as $$
    select 1 from promotions where lower(code collate "C") = any(array(select lower(c collate "C") from unnest(codes) c))
    order by lower(code collate "C") for update;
$$;

create or replace function claim_promotions(order_ids uuid[], codes text[], customer_ids text[])
returns table (refused_order uuid, refusal text) language plpgsql as $$
declare
    wanted record;
    one promotions%rowtype;
    lost uuid[] := '{}';
    reason text;
begin
    for wanted in
        select order_id, lower(code collate "C") as code_key, customer_id
        from unnest(order_ids, codes, customer_ids) with ordinality as w (order_id, code, customer_id, place) order by place
    loop
        continue when wanted.order_id = any(lost);
        continue when exists (
            select from promotion_uses u where lower(u.code collate "C") = wanted.code_key and u.order_id = wanted.order_id);
        select * into one from promotions p where lower(p.code collate "C") = wanted.code_key;
        reason := case
            when not found then 'discount_not_found'
            when not one.active or one.starts_at > clock_timestamp() or one.ends_at <= clock_timestamp() then 'discount_not_active'
            when one.used >= one.max_uses then 'discount_exhausted'
            when one.max_uses_per_customer <= (
                select count(*) from promotion_uses u
                where lower(u.code collate "C") = wanted.code_key and u.customer_id = wanted.customer_id
            ) then 'discount_exhausted'
        end;
        if reason is null then
            insert into promotion_uses (code, order_id, customer_id) values (one.code, wanted.order_id, wanted.customer_id);
            update promotions p set used = p.used + 1 where p.code = one.code;
        else
            lost := lost || wanted.order_id;
            perform release_promotions(
                array(select w.order_id from unnest(order_ids, codes) as w (order_id, code)
                    where w.order_id = wanted.order_id and lower(w.code collate "C") <> wanted.code_key),
                array(select w.code from unnest(order_ids, codes) as w (order_id, code)
                    where w.order_id = wanted.order_id and lower(w.code collate "C") <> wanted.code_key));
            refused_order := wanted.order_id;
            refusal := reason;
            return next;
        end if;
    end loop;
end
$$;

create or replace function release_promotions(order_ids uuid[], codes text[]) returns void language sql as $$
    with gone as (
        delete from promotion_uses u
        using (select distinct order_id, lower(code collate "C") as code_key from unnest(order_ids, codes) as w (order_id, code)) g
        where lower(u.code collate "C") = g.code_key and u.order_id = g.order_id returning g.code_key
    )
    update promotions p set used = p.used - g.n
    from (select code_key, count(*) as n from gone group by code_key) g where lower(p.code collate "C") = g.code_key;
$$;
