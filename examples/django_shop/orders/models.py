"""The shop's table."""

from django.db import models


class Order(models.Model):
    """What a customer has bought."""

    customer = models.CharField(max_length=200)
    address = models.EmailField()

    def __str__(self) -> str:
        return f"order {self.pk}"
