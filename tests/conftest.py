pytest_plugins = [
    "tests.support.redis",
    "tests.support.aws",
    "tests.support.stack",
    "tests.support.examples",
    "tests.support.jobs",
    "tests.support.outside",
]
