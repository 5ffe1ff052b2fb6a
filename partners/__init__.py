"""Whom we ask: the HTTP clients of ProductSvc, PaymentSvc and UserSvc, and what keeps a sick partner from hurting us.

The only home of the HTTP client. It translates between the partners' contract (contracts/partners.yaml) and the
domain's calls and outcomes; it holds no rule of the order, and no state of one.
"""
