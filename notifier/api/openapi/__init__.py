"""What openapi.json says beyond what FastAPI makes of the routes: examples, links, responses, webhook events."""
