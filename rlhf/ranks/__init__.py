"""The processes that train together, one a device, each known by its rank: which rows are whose,
and how numbers of all rows come about."""
