"""The service describes itself: its documents for programs, and Swagger UI for people, from files that are installed with it."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.services import services_of
from api.shapes.responses import tagged_response

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>OrderSvc</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<main id="swagger-ui"></main>
<p>For programs: <a href="/openapi.json">/openapi.json</a>; events: <a href="/asyncapi.json">/asyncapi.json</a></p>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
START = """SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
"""
# Scripts, styles and requests go to this service and nowhere else; Swagger UI writes styles into its elements.
PAGE_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

router = APIRouter(include_in_schema=False)


@router.get("/")
async def lead_to_docs() -> Response:
    """A browser that comes to the service's root is led to its description."""
    return RedirectResponse("/docs")


@router.get("/openapi.json")
async def show_openapi(request: Request) -> Response:
    """The REST interface, for programs."""
    document: bytes = request.app.state.openapi()
    return tagged_response(request.headers.get("if-none-match"), document)


@router.get("/asyncapi.json")
async def show_asyncapi(request: Request) -> Response:
    """The events, for programs."""
    return tagged_response(request.headers.get("if-none-match"), services_of(request).asyncapi)


@router.get("/docs")
async def show_docs() -> Response:
    """The REST interface, for people."""
    return Response(PAGE, media_type="text/html", headers=PAGE_HEADERS)


@router.get("/docs/start.js")
async def show_start() -> Response:
    """What starts Swagger UI: a file of its own, for the page runs no script that stands in it."""
    return Response(START, media_type="text/javascript")


@router.get("/docs/swagger-ui-bundle.js")
async def show_swagger_script(request: Request) -> Response:
    """Swagger UI itself."""
    return tagged_response(
        request.headers.get("if-none-match"), _installed("swagger-ui-bundle.js"), media_type="text/javascript"
    )


@router.get("/docs/swagger-ui.css")
async def show_swagger_style(request: Request) -> Response:
    """Swagger UI's style sheet."""
    return tagged_response(request.headers.get("if-none-match"), _installed("swagger-ui.css"), media_type="text/css")


@cache
def _installed(name: str) -> bytes:
    return files("fastapi_offline").joinpath("static", name).read_bytes()
