"""The private names of the SDK that the tap uses; `tests/test_architecture.py` fails when a new SDK changes one."""

from singer_sdk.configuration._dict_config import parse_environment_config

__all__ = ["parse_environment_config"]
