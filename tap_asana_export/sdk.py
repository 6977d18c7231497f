"""The private names of the SDK that the tap uses; `tests/test_architecture.py` fails when a new SDK changes one."""

from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.helpers._flattening import flatten_key

__all__ = ["flatten_key", "parse_environment_config"]
