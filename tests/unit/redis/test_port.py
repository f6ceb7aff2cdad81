"""What an error reply says."""

import pytest

from neuralstream_core.redis import ReplyError, connect
from neuralstream_core.settings import RedisSettings
from tests.support.alone import printed


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("WRONGTYPE Operation against a key", "WRONGTYPE"),
        ("ERR unknown command", "ERR"),
        ("OOM command not allowed when used memory > 'maxmemory'.", "OOM"),
        (
            "ERR Error running script (call to f_ab): @user_script:3: -OOM command not allowed when",
            "OOM",
        ),
        ("ERR Error running script (call to f_ab): @user_script:1: user_script:1: bug here", "ERR"),
    ],
)
def test_the_code_is_that_of_the_command_even_inside_a_script(message, code):
    assert ReplyError(message).code == code


@pytest.mark.parametrize("cluster", [False, True])
def test_connecting_to_nowhere_succeeds_until_it_is_used(cluster):
    connect(RedisSettings(redis_host="no-such-host.invalid", redis_cluster=cluster)).close()


def test_importing_costs_no_heavy_library():
    code = (
        "import sys, neuralstream_core.redis;"
        "print([m for m in ('redis', 'botocore', 'ssl', 'numpy') if m in sys.modules])"
    )
    assert printed(code).strip() == "[]"
