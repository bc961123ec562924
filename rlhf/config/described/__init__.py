"""What can be set, for help and for reference: the groups of `conf/`, their options and keys, with
type, range, default, comment and reader. Comments are read from the YAML files, types and ranges
from the schema."""
