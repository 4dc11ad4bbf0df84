"""What the page's form and buttons call: the handlers of programs, below the page's own path.

A session counts there alone, and they are gone where PAGE is off.
"""

from litestar import HttpMethod, delete, post, route

from service.access.principal import Permission
from service.handlers.control import changes
from service.handlers.guards import plain_body
from service.handlers.permissions import PERMISSION
from service.handlers.predictions.predict import predict
from service.handlers.session_cookie import PAGE

_MODEL = f"{PAGE}/{{name:str}}"
_CHANGES = {PERMISSION: Permission.ADMIN}

ask = post(
    f"{_MODEL}/predict",
    status_code=200,
    guards=[plain_body],
    opt={PERMISSION: Permission.PREDICT},
)(predict.fn)
pin_methods = route(
    f"{_MODEL}/pin", http_method=[HttpMethod.OPTIONS], opt={PERMISSION: Permission.OPEN}
)(changes.pin_methods.fn)
reload_model = post(f"{_MODEL}/reload", status_code=200, opt=_CHANGES)(changes.reload_model.fn)
pin = post(f"{_MODEL}/pin", status_code=200, guards=[plain_body], opt=_CHANGES)(changes.pin.fn)
unpin = delete(f"{_MODEL}/pin", status_code=200, opt=_CHANGES)(changes.unpin.fn)
