from django.http import HttpRequest, HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import StaticFile


class StaticFiles(WhiteNoiseMiddleware):  # type: ignore[misc]
    """Serves static files whole: whitenoise's own response is a file iterator, which Django warns of under ASGI."""

    @staticmethod
    def serve(static_file: StaticFile, request: HttpRequest) -> HttpResponse:
        served = static_file.get_response(request.method, request.META)
        content = b""
        if served.file is not None:
            with served.file as file:
                content = file.read()
        return HttpResponse(content, status=int(served.status), headers=dict(served.headers))
