"""What the functions share on the Lambda side: routes, errors as HTTP, wiring of clients.

The public face: `Api` (routes of one function), `Answer`, `Caller`, `Scope` and `wiring`.
"""

from neuralstream_lambda.api import Answer, Api, Caller, Route
from neuralstream_lambda.scopes import PUBLIC, Scope

__all__ = ["PUBLIC", "Answer", "Api", "Caller", "Route", "Scope"]
