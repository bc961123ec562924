"""Stages whose roles are adapters beside a frozen network: what each trains, what it begins from,
and where the network is kept."""
