"""The API with a job that counts, and clients of two services and of the instance."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import httpx2
from support import marketing_template
from support.documented_transport import DocumentedTransport
from support.job_driver import JobDriver

from notifier.api.app import create_app
from notifier.auth import key_admin, service_admin
from notifier.auth.authenticated_key import KeyScope
from notifier.auth.key_admin import NewKey
from notifier.db.tables import INSTANCE
from notifier.runtime import wiring


@dataclass(frozen=True, kw_only=True)
class JobApi:
    """Three callers of one API, and a sender of its jobs."""

    driver: JobDriver
    shop: httpx2.AsyncClient
    other: httpx2.AsyncClient
    admin: httpx2.AsyncClient
    shop_id: UUID

    async def create_run(self, owner: str = "instance", **fields: Any) -> str:
        """Create a run of the shop or of the instance; return its path."""
        service_id = self.shop_id if owner == "shop" else INSTANCE
        return f"/v1/jobs/{(await self.driver.create_run(service_id=service_id, **fields)).id}"


@asynccontextmanager
async def open_job_api(parts: wiring.ProcessParts, driver: JobDriver) -> AsyncIterator[JobApi]:
    """Open the API in this process, with the actions of the driver."""
    dependencies: Any = wiring.build_api(parts).state.dependencies
    transport = DocumentedTransport(
        app=create_app(replace(dependencies, job_actions=driver.actions)), raise_app_exceptions=False
    )
    async with parts.database.write() as connection:
        shop_id = await service_admin.find_service(connection, "shop")
        new = NewKey(scopes=(KeyScope.ADMIN,))
        _, admin_key = await key_admin.insert_key(connection, None, new, now=parts.clock.now())
    keys = [await marketing_template.create_marketing_key(parts, name) for name in ("shop", "other")]
    async with AsyncExitStack() as stack:
        shop, other, admin = [
            await stack.enter_async_context(
                httpx2.AsyncClient(
                    transport=transport, base_url="http://notifier", headers={"Authorization": f"Bearer {key}"}
                )
            )
            for key in (*keys, admin_key)
        ]
        yield JobApi(driver=driver, shop=shop, other=other, admin=admin, shop_id=shop_id)
