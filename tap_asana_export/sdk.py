"""The private names of the SDK that the tap uses; `tests/test_architecture.py` fails when a new SDK changes one."""

from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.helpers._catalog import get_selected_schema

__all__ = ["get_selected_schema", "parse_environment_config"]
