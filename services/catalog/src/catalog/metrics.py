"""Every metric of the catalogue; labels come from small closed sets."""

from prometheus_client import Counter, Histogram

APIS_REGISTERED = Counter("catalog_apis_registered_total", "APIs registered.")
STATUS_CHANGES = Counter("catalog_api_status_changes_total", "Changes of an API's status.", ["status"])
DOCUMENTS = Counter("catalog_openapi_documents_total", "OpenAPI documents uploaded.", ["outcome"])
DOCUMENT_SECONDS = Histogram("catalog_openapi_document_seconds", "Time to read one OpenAPI document.")
PLANS_CREATED = Counter("catalog_plans_created_total", "Plans created.")
